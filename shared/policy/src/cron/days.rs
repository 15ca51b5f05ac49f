//! The two day fields of a cron expression, of which exactly one is `?`.
//!
//! Answers one question: which days of a given month does the expression name.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::CronError;
use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, values};

const SUNDAY: u16 = 1;
const SATURDAY: u16 = 7;
/// No month has a sixth of any weekday.
const MAX_NTH: u16 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    OfMonth(BTreeSet<u16>),
    LastOfMonth,
    LastWeekdayOfMonth,
    /// The Monday to Friday nearest to this day, never in another month.
    NearestWeekday(u16),
    OfWeek(BTreeSet<u16>),
    LastOfWeekday(u16),
    NthOfWeekday {
        weekday: u16,
        nth: u16,
    },
}

pub(super) fn parse(day_of_month: &str, day_of_week: &str) -> Result<Days, CronError> {
    match (day_of_month, day_of_week) {
        ("?", "?") => Err(CronError {
            field: "day-of-week",
            found: "? in both day-of-month and day-of-week".into(),
            allowed: "? in exactly one of them".into(),
        }),
        ("?", week) => of_week(week),
        (month, "?") => of_month(month),
        (month, week) => Err(CronError {
            field: "day-of-week",
            found: format!("{week} beside day-of-month {month}"),
            allowed: "? in exactly one of day-of-month and day-of-week".into(),
        }),
    }
}

fn of_month(text: &str) -> Result<Days, CronError> {
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "L" => return Ok(Days::LastOfMonth),
        "LW" => return Ok(Days::LastWeekdayOfMonth),
        _ => {}
    }
    if let Some(day) = upper.strip_suffix('W') {
        let day = DAY_OF_MONTH.value(day).ok_or_else(|| DAY_OF_MONTH.refuse(text))?;
        return Ok(Days::NearestWeekday(day));
    }
    values(&DAY_OF_MONTH, text).map(Days::OfMonth)
}

fn of_week(text: &str) -> Result<Days, CronError> {
    let refused = || DAY_OF_WEEK.refuse(text);
    if text.eq_ignore_ascii_case("L") {
        // The last day of the week, counted as the field counts it.
        return Ok(Days::OfWeek(BTreeSet::from([SATURDAY])));
    }
    if let Some((weekday, nth)) = text.split_once('#') {
        let weekday = DAY_OF_WEEK.value(weekday).ok_or_else(refused)?;
        let nth = nth.parse().ok().filter(|nth| (1..=MAX_NTH).contains(nth));
        return Ok(Days::NthOfWeekday { weekday, nth: nth.ok_or_else(refused)? });
    }
    if let Some(weekday) = text.strip_suffix(['L', 'l']) {
        let weekday = DAY_OF_WEEK.value(weekday).ok_or_else(refused)?;
        return Ok(Days::LastOfWeekday(weekday));
    }
    values(&DAY_OF_WEEK, text).map(Days::OfWeek)
}

impl Days {
    pub(super) fn every() -> Days {
        Days::OfMonth(DAY_OF_MONTH.all())
    }

    /// The days of one month in order; `first` is its first day.
    pub(super) fn in_month(&self, first: Date) -> Vec<u16> {
        let last = u16::try_from(first.days_in_month()).unwrap_or(28);
        let first_weekday = u16::try_from(first.weekday().to_sunday_one_offset()).unwrap_or(1);
        let weekday = |day: u16| (first_weekday - 1 + day - 1) % 7 + 1;
        let first_of = |wanted: u16| (wanted + 7 - first_weekday) % 7 + 1;
        match self {
            Days::OfMonth(days) => days.iter().copied().filter(|day| *day <= last).collect(),
            Days::LastOfMonth => vec![last],
            Days::LastWeekdayOfMonth => vec![nearest_weekday(last, last, weekday(last))],
            Days::NearestWeekday(day) if *day > last => Vec::new(),
            Days::NearestWeekday(day) => vec![nearest_weekday(*day, last, weekday(*day))],
            Days::OfWeek(days) => (1..=last).filter(|day| days.contains(&weekday(*day))).collect(),
            Days::LastOfWeekday(wanted) => {
                let first = first_of(*wanted);
                vec![first + (last - first) / 7 * 7]
            }
            Days::NthOfWeekday { weekday, nth } => {
                let day = first_of(*weekday) + (nth - 1) * 7;
                if day <= last { vec![day] } else { Vec::new() }
            }
        }
    }
}

fn nearest_weekday(day: u16, last: u16, weekday: u16) -> u16 {
    match weekday {
        SATURDAY if day == 1 => 3,
        SATURDAY => day - 1,
        SUNDAY if day == last => day - 2,
        SUNDAY => day + 1,
        _ => day,
    }
}
