//! Random expressions against an obviously right reading of them: go through the days one by
//! one and ask of each what its fields say.

use std::collections::BTreeSet;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use stillpoint_policy::Cron;

use super::config;

/// What the fields were made from, so that the test need not read the expression.
#[derive(Debug, Clone)]
struct Spec {
    minute: i8,
    hours: BTreeSet<i8>,
    months: BTreeSet<i8>,
    years: Option<(i16, i16)>,
    days: DaySpec,
}

#[derive(Debug, Clone)]
enum DaySpec {
    OfMonth(BTreeSet<i8>),
    Last,
    LastWeekday,
    Nearest(i8),
    OfWeek(BTreeSet<i8>),
    LastOf(i8),
    Nth(i8, i8),
}

fn listed(set: &BTreeSet<i8>) -> String {
    set.iter().map(i8::to_string).collect::<Vec<_>>().join(",")
}

impl Spec {
    fn text(&self) -> String {
        let (month_day, week_day) = match &self.days {
            DaySpec::OfMonth(days) => (listed(days), "?".into()),
            DaySpec::Last => ("L".into(), "?".into()),
            DaySpec::LastWeekday => ("LW".into(), "?".into()),
            DaySpec::Nearest(day) => (format!("{day}W"), "?".into()),
            DaySpec::OfWeek(days) => ("?".into(), listed(days)),
            DaySpec::LastOf(day) => ("?".into(), format!("{day}L")),
            DaySpec::Nth(day, nth) => ("?".to_owned(), format!("{day}#{nth}")),
        };
        let years = self.years.map_or("*".into(), |(first, last)| format!("{first}-{last}"));
        let (hours, months) = (listed(&self.hours), listed(&self.months));
        format!("cron({} {hours} {month_day} {months} {week_day} {years})", self.minute)
    }

    fn has_day(&self, day: Date) -> bool {
        let in_years = self.years.is_none_or(|(first, last)| (first..=last).contains(&day.year()));
        in_years && self.months.contains(&day.month()) && self.days.has(day)
    }
}

impl DaySpec {
    fn has(&self, day: Date) -> bool {
        let weekday = |day: Date| day.weekday().to_sunday_one_offset();
        let working = |day: Date| (2..=6).contains(&weekday(day));
        match self {
            DaySpec::OfMonth(days) => days.contains(&day.day()),
            DaySpec::Last => day.last_of_month() == day,
            DaySpec::LastWeekday => {
                let after = (day.day() + 1..=day.days_in_month())
                    .filter_map(|later| Date::new(day.year(), day.month(), later).ok());
                working(day) && !after.into_iter().any(working)
            }
            DaySpec::Nearest(wanted) => {
                // Of the working days of that month, the one with the smallest distance.
                let month = (1..=day.days_in_month())
                    .filter_map(|other| Date::new(day.year(), day.month(), other).ok());
                let nearest = month
                    .filter(|other| working(*other))
                    .min_by_key(|other| (other.day() - wanted).abs());
                *wanted <= day.days_in_month() && nearest == Some(day)
            }
            DaySpec::OfWeek(days) => days.contains(&weekday(day)),
            DaySpec::LastOf(wanted) => {
                weekday(day) == *wanted && day.day() + 7 > day.days_in_month()
            }
            DaySpec::Nth(wanted, nth) => weekday(day) == *wanted && (day.day() - 1) / 7 + 1 == *nth,
        }
    }
}

fn days() -> impl Strategy<Value = DaySpec> {
    prop_oneof![
        prop::collection::btree_set(1i8..=31, 1..4).prop_map(DaySpec::OfMonth),
        Just(DaySpec::Last),
        Just(DaySpec::LastWeekday),
        (1i8..=31).prop_map(DaySpec::Nearest),
        prop::collection::btree_set(1i8..=7, 1..4).prop_map(DaySpec::OfWeek),
        (1i8..=7).prop_map(DaySpec::LastOf),
        ((1i8..=7), (1i8..=5)).prop_map(|(day, nth)| DaySpec::Nth(day, nth)),
    ]
}

fn specs() -> impl Strategy<Value = Spec> {
    let years = prop::option::of((1990i16..2100, 0i16..20));
    (
        0i8..=59,
        prop::collection::btree_set(0i8..=23, 1..5),
        prop::collection::btree_set(1i8..=12, 1..=12),
        years,
        days(),
    )
        .prop_map(|(minute, hours, months, years, days)| {
            let years = years.map(|(first, more)| (first, first + more));
            Spec { minute, hours, months, years, days }
        })
}

/// Every firing of a year and a bit, one day after the other.
fn by_hand(spec: &Spec, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut firings = Vec::new();
    let mut day = TimeZone::UTC.to_datetime(after).date();
    while TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).expect("a time") <= until {
        if spec.has_day(day) {
            for hour in &spec.hours {
                let time = day.at(*hour, spec.minute, 0, 0);
                let time = TimeZone::UTC.to_timestamp(time).expect("a time");
                if time > after && time <= until {
                    firings.push(time);
                }
            }
        }
        day = day.tomorrow().expect("a day");
    }
    firings
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_next_firings_are_those_of_the_calendar(
        spec in specs(),
        after_secs in 0i64..5_000_000_000,
        nanosecond in 0i32..1_000_000_000,
    ) {
        let text = spec.text();
        // A spec that never fires or fires too rarely is refused; its grammar is right.
        let Ok(cron) = Cron::parse(&text) else { return Err(TestCaseError::reject("refused")) };
        let after = Timestamp::new(after_secs, nanosecond).expect("a time");
        let until = after + (24 * 400).hours();
        let expected = by_hand(&spec, after, until);
        let found = cron.next_after(after, expected.len() + 1);
        let (within, beyond): (Vec<Timestamp>, Vec<Timestamp>) =
            found.iter().copied().partition(|time| *time <= until);
        prop_assert_eq!(&within, &expected, "{}", text);
        prop_assert!(beyond.len() <= 1);
        prop_assert!(found.iter().all(|time| *time > after));
        prop_assert!(found.windows(2).all(|pair| (pair[1] - pair[0]).get_seconds() >= 3600));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*", fields in "cron\\([0-9A-Z,*?/#LW -]{11,100}\\)") {
        for text in [text, fields] {
            if let Err(errors) = Cron::parse(&text) {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}

/// All days the spec names in all years a cron expression knows.
fn all_days(spec: &Spec) -> Vec<Date> {
    let days = date(1970, 1, 1).series(1.day());
    days.take_while(|day| day.year() <= 2199).filter(|day| spec.has_day(*day)).collect()
}

proptest! {
    // Each case goes through 230 years.
    #![proptest_config(config(24))]

    #[test]
    fn an_expression_is_refused_when_it_never_fires_or_pauses_for_over_a_year(spec in specs()) {
        let days = all_days(&spec);
        let pauses = days.windows(2).map(|pair| (pair[1] - pair[0]).get_days());
        let longest_days = pauses.max().unwrap_or(0);
        let fine = !days.is_empty() && longest_days <= 371;
        let found = Cron::parse(&spec.text());
        prop_assert_eq!(found.is_ok(), fine, "{}: {:?}, {} days", spec.text(), found, longest_days);
    }
}
