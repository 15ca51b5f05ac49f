//! The rules, as far as retention needs them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A policy that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// False for DISABLED and ERROR: nothing is deleted then.
    pub enabled: bool,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
}

/// One schedule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name; a set belongs to it by this name.
    pub name: String,
    /// How long its sets stay.
    pub keep: Keep,
    /// How long their copies in this Region stay; none where copies are not asked for any more.
    pub copies: Option<Age>,
    /// The longest time between two firings; none for a schedule that fires once.
    pub interval_ms: Option<u64>,
    /// Only sets that are proven to be application-consistent are good.
    pub require_application: bool,
    /// So many good sets stay whatever the rule says; at least 1 is taken.
    pub minimum_good_sets: usize,
}

/// DLM's RetainRule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest so many.
    Count(u32),
    /// Those that are younger.
    Age(Age),
}

/// An age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// So many.
    pub interval: u32,
    /// Of these.
    pub unit: Unit,
}

/// DLM's IntervalUnit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 24 hours.
    Days,
    /// 7 days.
    Weeks,
    /// Calendar months.
    Months,
    /// Calendar years.
    Years,
}

impl Age {
    /// When something begun at that time has this age: in the calendar of UTC, the last day of a
    /// month where the month has no such day. A time past the calendar's end is its end.
    #[must_use]
    pub fn after_ms(self, started_ms: u64) -> u64 {
        let interval = i64::from(self.interval);
        let span = match self.unit {
            Unit::Days => Span::new().try_days(interval),
            Unit::Weeks => Span::new().try_weeks(interval),
            Unit::Months => Span::new().try_months(interval),
            Unit::Years => Span::new().try_years(interval),
        };
        let reached = span.ok().and_then(|span| datetime(started_ms)?.checked_add(span).ok());
        let time = reached.and_then(|reached| TimeZone::UTC.to_timestamp(reached).ok());
        time.and_then(|time| u64::try_from(time.as_millisecond()).ok()).unwrap_or(u64::MAX)
    }

    /// About how long it is; for the comparison of two ages.
    #[must_use]
    pub fn days(self) -> u64 {
        let days = match self.unit {
            Unit::Days => 1,
            Unit::Weeks => 7,
            Unit::Months => 30,
            Unit::Years => 365,
        };
        u64::from(self.interval) * days
    }
}

/// What is the same for all policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a set stays after it was marked.
    pub grace_ms: u64,
}

fn datetime(ms: u64) -> Option<DateTime> {
    let time = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(TimeZone::UTC.to_datetime(time))
}
