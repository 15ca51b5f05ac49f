//! The optional `Stillpoint` object of a policy: what DLM has no field for.
//!
//! A policy without it behaves as in DLM; that is what [`Settings::default`] says.

use std::collections::BTreeMap;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;

/// DLM begins within 60 minutes of the scheduled time.
pub const START_WITHIN_MINUTES: u32 = 60;
/// What a policy may say instead. A firing is delivered within an hour or not at all; a run may
/// wait longer only in our queue.
pub const START_WITHIN_ALLOWED: std::ops::RangeInclusive<u32> = 1..=720;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The zone that cron expressions, Times and blackout windows are read in; UTC as in DLM
    /// where none is set.
    pub time_zone: TimeZone,
    /// No scheduled run begins in any of these.
    pub blackouts: Vec<Blackout>,
    /// StartWithinMinutes: a run that has not begun this long after its time is not begun at all.
    pub start_within_minutes: u32,
    pub retention: RetentionSettings,
    /// By schedule name; only schedules that have a script are in it.
    pub scripts: BTreeMap<String, ScriptSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            blackouts: Vec::new(),
            start_within_minutes: START_WITHIN_MINUTES,
            retention: RetentionSettings::default(),
            scripts: BTreeMap::new(),
        }
    }
}

/// What makes a set a good one, and how many of them are never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// RequireApplicationConsistency: a set that is not proven to be application-consistent is
    /// a failed run, and no good set to retention.
    pub require_application_consistency: bool,
    /// MinimumGoodSets: of each instance this many of the newest good sets stay, whatever the
    /// RetainRule says. 1 to 1000.
    pub minimum_good_sets: u32,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { require_application_consistency: false, minimum_good_sets: 1 }
    }
}

/// What one schedule's script gets beyond DLM's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptSettings {
    /// ExecutionTimeout beyond DLM's 120 seconds.
    pub timeout_secs: Option<u32>,
    /// Deadline: how long the instance may stay frozen before it thaws by itself.
    pub deadline_secs: Option<u32>,
    /// DocumentParameters: sent to the document beside those of a pre/post script.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// VssExcludeDataVolumeTags: under AWS_VSS_BACKUP, data volumes with any of these tags.
    pub vss_exclude_data_volume_tags: Vec<crate::Tag>,
    /// VssInstall: under AWS_VSS_BACKUP, install what the instance lacks of VSS first.
    pub vss_install: bool,
}

/// A time in which no scheduled run begins, on the clock of the policy's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blackout {
    /// Once.
    Between { from: DateTime, to: DateTime },
    /// On these weekdays, from one time of the day to another; into the next day where `to` is
    /// not after `from`.
    Weekly { days: Vec<Weekday>, from: Time, to: Time },
}
