//! DLM's cron expressions: the six fields of EventBridge, plus DLM's own two rules.
//!
//! Reads and checks an expression ([`Cron::parse`]) and counts its firings
//! ([`Cron::next_after`]). It does not know the current time, `rate()` or `at()`: DLM has neither.

mod days;
mod field;
mod firings;

use std::collections::BTreeSet;
use std::fmt;

use days::Days;
use field::{HOUR, MINUTE, MONTH, YEAR};

/// DLM's limits for the whole text, `cron(` and `)` included.
const MIN_TEXT_CHARS: usize = 17;
const MAX_TEXT_CHARS: usize = 106;

/// An expression that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: BTreeSet<u16>,
    hours: BTreeSet<u16>,
    days: Days,
    months: BTreeSet<u16>,
    years: BTreeSet<u16>,
}

/// What is wrong with one field of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// `minute`, `hour`, `day-of-month`, `month`, `day-of-week`, `year` or `expression`.
    pub field: &'static str,
    pub found: String,
    pub allowed: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {:?}, allowed {}", self.field, self.found, self.allowed)
    }
}

impl std::error::Error for CronError {}

impl Cron {
    /// Reads `cron(minute hour day-of-month month day-of-week year)`; all problems at once.
    pub fn parse(text: &str) -> Result<Cron, Vec<CronError>> {
        let whole = |found: &str, allowed: &str| {
            vec![CronError { field: "expression", found: found.into(), allowed: allowed.into() }]
        };
        let body = text.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')'));
        let Some(body) = body.filter(|body| !body.contains('\n')) else {
            return Err(whole(
                text,
                "cron(minute hour day-of-month month day-of-week year); DLM has no rate() or at()",
            ));
        };
        let length = text.chars().count();
        if !(MIN_TEXT_CHARS..=MAX_TEXT_CHARS).contains(&length) {
            return Err(whole(
                &format!("{length} characters"),
                &format!("{MIN_TEXT_CHARS} to {MAX_TEXT_CHARS} characters"),
            ));
        }
        let fields: Vec<&str> = body.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week, year] = fields[..] else {
            return Err(whole(
                &format!("{} fields", fields.len()),
                "6 fields: minute hour day-of-month month day-of-week year",
            ));
        };
        let mut errors = Vec::new();
        let minutes = collect(&mut errors, field::values(&MINUTE, minute));
        let hours = collect(&mut errors, field::values(&HOUR, hour));
        let days = collect(&mut errors, days::parse(day_of_month, day_of_week));
        let months = collect(&mut errors, field::values(&MONTH, month));
        let years = collect(&mut errors, field::values(&YEAR, year));
        let (Some(minutes), Some(hours), Some(days), Some(months), Some(years)) =
            (minutes, hours, days, months, years)
        else {
            return Err(errors);
        };
        let cron = Cron { text: text.into(), minutes, hours, days, months, years };
        let errors = firings::against_dlm_rules(&cron, minute);
        if errors.is_empty() { Ok(cron) } else { Err(errors) }
    }

    /// The expression of an interval rule. DLM's intervals all divide a day, so that the hours
    /// are the same every day.
    pub(crate) fn every(hours: u16, at_hour: u16, at_minute: u16) -> Cron {
        let hours: BTreeSet<u16> =
            (0..24).filter(|hour| (24 + hour - at_hour).is_multiple_of(hours)).collect();
        let listed = if hours.len() == 24 {
            "*".into()
        } else {
            hours.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
        };
        Cron {
            text: format!("cron({at_minute} {listed} * * ? *)"),
            minutes: BTreeSet::from([at_minute]),
            hours,
            days: Days::every(),
            months: MONTH.all(),
            years: YEAR.all(),
        }
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn collect<T>(errors: &mut Vec<CronError>, read: Result<T, CronError>) -> Option<T> {
    read.map_err(|error| errors.push(error)).ok()
}
