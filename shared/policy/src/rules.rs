//! What becomes of a snapshot set once it exists: how long it is kept, where fast restore is on,
//! where it is copied to and whom it is shared with. DLM's rules, as values.
//!
//! Nothing here is executed; whoever copies, shares or deletes reads these. [`Age::end`] is the
//! one place that says when an age is reached.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// RetainRule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// The newest this many sets of the schedule, for each volume: 1 to 1000.
    Count(u32),
    /// Until the set is this old.
    Age(Age),
}

/// Interval and IntervalUnit: 1 to 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    pub interval: u32,
    pub unit: RetainUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainUnit {
    Days,
    Weeks,
    Months,
    Years,
}

impl RetainUnit {
    /// DLM's word for it.
    pub fn name(self) -> &'static str {
        match self {
            RetainUnit::Days => "DAYS",
            RetainUnit::Weeks => "WEEKS",
            RetainUnit::Months => "MONTHS",
            RetainUnit::Years => "YEARS",
        }
    }
}

impl Age {
    /// When something that began at `from` reaches this age, by the calendar in UTC: a month after
    /// 31 January is 28 or 29 February. The end of time where the calendar ends before it.
    pub fn end(self, from: Timestamp) -> Timestamp {
        let interval = i64::from(self.interval);
        let span = match self.unit {
            RetainUnit::Days => Span::new().try_days(interval),
            RetainUnit::Weeks => Span::new().try_weeks(interval),
            RetainUnit::Months => Span::new().try_months(interval),
            RetainUnit::Years => Span::new().try_years(interval),
        };
        let end = span.and_then(|span| from.to_zoned(TimeZone::UTC).checked_add(span));
        end.map_or(Timestamp::MAX, |end| end.timestamp())
    }
}

/// FastRestoreRule: fast snapshot restore in these zones, for the newest so many or for so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastRestore {
    /// 1 to 10, all names or all ids.
    pub zones: Vec<Zone>,
    pub retain: Retain,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// `eu-west-1a`
    Name(String),
    /// `euw1-az1`
    Id(String),
}

impl Zone {
    pub fn as_str(&self) -> &str {
        match self {
            Zone::Name(text) | Zone::Id(text) => text,
        }
    }
}

/// One of CrossRegionCopyRules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionCopy {
    pub target_region: String,
    /// Encrypt the copy of an unencrypted snapshot; a copy of an encrypted one always is.
    pub encrypted: bool,
    /// The account's default key for EBS where there is none.
    pub cmk_arn: Option<String>,
    pub copy_tags: bool,
    /// As long as the set itself where there is none.
    pub retain: Option<Age>,
}

/// One of ShareRules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Twelve digits each.
    pub accounts: Vec<String>,
    /// Shared until it is deleted where there is none.
    pub unshare_after: Option<Age>,
}
