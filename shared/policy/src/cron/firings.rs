//! When an expression fires, and whether it fires as often as DLM allows.
//!
//! Goes through years and months, never minute by minute: a far-off firing costs no more than
//! the months before it, and the end of the year field (2199) ends every search.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::{Cron, CronError};

/// One year, plus the days by which the nth weekday of a month moves from year to year.
const MAX_GAP_DAYS: i32 = 371;

impl Cron {
    /// The next `count` firings strictly after a time, in UTC; fewer where the expression ends.
    pub fn next_after(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        self.firings_after(&TimeZone::UTC, after).take(count).collect()
    }

    /// The firings strictly after a time, by the clock of a zone. As EventBridge Scheduler does
    /// it: what the clock leaps over in spring is left out, and of an hour that comes twice in
    /// autumn only the first counts.
    pub fn firings_after<'a>(
        &'a self,
        zone: &'a TimeZone,
        after: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let start = zone.to_datetime(after).date().first_of_month();
        self.months_from(start)
            .flat_map(move |month| self.times_in(zone, month).collect::<Vec<_>>())
            .filter(move |time| *time > after)
    }

    pub(crate) fn fires_at(&self, zone: &TimeZone, time: Timestamp) -> bool {
        let month = zone.to_datetime(time).date().first_of_month();
        let mut months = self.months_from(month);
        months.next().is_some_and(|first| {
            first == month && self.times_in(zone, first).any(|firing| firing == time)
        })
    }

    /// The first days of the months that the month and year fields name.
    fn months_from(&self, start: Date) -> impl Iterator<Item = Date> + '_ {
        let year = u16::try_from(start.year()).unwrap_or(0);
        let years = self.years.range(year..);
        let first = |(year, month): (u16, u16)| {
            Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()
        };
        years
            .flat_map(|year| self.months.iter().map(|month| (*year, *month)))
            .filter_map(first)
            .filter(move |month| *month >= start)
    }

    fn times_in<'a>(
        &'a self,
        zone: &'a TimeZone,
        month: Date,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let days = self.days.in_month(month).into_iter();
        let hours = days.flat_map(|day| self.hours.iter().map(move |hour| (day, *hour)));
        let minutes = hours
            .flat_map(|(day, hour)| self.minutes.iter().map(move |minute| (day, hour, *minute)));
        minutes.filter_map(move |(day, hour, minute)| {
            let day = i8::try_from(day).ok()?;
            let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
            let time = DateTime::new(month.year(), month.month(), day, hour, minute, 0, 0).ok()?;
            match zone.to_ambiguous_timestamp(time).offset() {
                AmbiguousOffset::Gap { .. } => None,
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok(),
            }
        })
    }
}

/// DLM's rules beyond the grammar: at least an hour apart, at most a year apart, at least once.
pub(super) fn against_dlm_rules(cron: &Cron, minute: &str) -> Vec<CronError> {
    let mut errors = Vec::new();
    // Two minutes of one hour are less than an hour apart, two hours of one minute never are.
    if cron.minutes.len() > 1 {
        errors.push(CronError {
            field: "minute",
            found: minute.into(),
            allowed: "one minute of the hour: DLM's firings are at least 1 hour apart".into(),
        });
    }
    let whole = |allowed: &str| CronError {
        field: "expression",
        found: cron.text.clone(),
        allowed: allowed.into(),
    };
    match longest_gap_days(cron) {
        None => errors.push(whole("an expression that fires at least once up to 2199")),
        Some(gap) if gap > MAX_GAP_DAYS => {
            errors.push(whole("firings at most 1 year apart, or a single one"));
        }
        Some(_) => {}
    }
    errors
}

/// Nothing if it never fires, 0 for a single month of firings. Only the first and the last day
/// of a month matter: what lies between them is never a year apart.
fn longest_gap_days(cron: &Cron) -> Option<i32> {
    let mut longest = None;
    let mut before: Option<Date> = None;
    for month in cron.months_from(Date::constant(1970, 1, 1)) {
        let days = cron.days.in_month(month);
        let day = |day: Option<&u16>| month.with().day(i8::try_from(*day?).ok()?).build().ok();
        let (Some(first), Some(last)) = (day(days.first()), day(days.last())) else { continue };
        let gap = before.map_or(0, |before| (first - before).get_days());
        longest = longest.max(Some(gap));
        before = Some(last);
    }
    longest
}
