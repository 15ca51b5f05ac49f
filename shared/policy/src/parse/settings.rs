//! The `Stillpoint` object: what DLM has no field for.
//!
//! Its shape is checked before the policy beside it is read, since the time zone decides when the
//! schedules fire; what it says about schedules is checked against them afterwards.

use std::collections::BTreeMap;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::script_settings;
use crate::policy::{Handler, Policy, Schedule};
use crate::reader::{At, Object};
use crate::report::Report;
use crate::settings::{
    Blackout, RetentionSettings, START_WITHIN_ALLOWED, START_WITHIN_MINUTES, Settings,
};

pub(super) const NAME: &str = "Stillpoint";
const FIELDS: [&str; 6] = [
    "TimeZone",
    "BlackoutWindows",
    "StartWithinMinutes",
    "RequireApplicationConsistency",
    "MinimumGoodSets",
    "Scripts",
];
const MAX_BLACKOUTS: usize = 50;
const GOOD_SETS: std::ops::RangeInclusive<u32> = 1..=1000;
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("SUN", Weekday::Sunday),
    ("MON", Weekday::Monday),
    ("TUE", Weekday::Tuesday),
    ("WED", Weekday::Wednesday),
    ("THU", Weekday::Thursday),
    ("FRI", Weekday::Friday),
    ("SAT", Weekday::Saturday),
];

/// What a policy says in this object; the scripts are matched to schedules later.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) settings: Settings,
    pub(super) scripts: Vec<script_settings::Entry>,
}

/// Reads the object; a policy without one behaves as in DLM.
pub(super) fn read(around: &Object<'_>, report: &mut Report) -> Read {
    let Some(mut field) = around.get(NAME) else { return Read::default() };
    // Its place in the document differs between the three forms, its path does not.
    field.path = NAME.into();
    let Some(object) = field.object(report, &FIELDS) else { return Read::default() };
    let time_zone = object.get("TimeZone").and_then(|field| time_zone(&field, report));
    let blackouts = object.get("BlackoutWindows");
    let blackouts = blackouts.map(|field| field.list(report, 0..=MAX_BLACKOUTS));
    let blackouts = blackouts.unwrap_or_default();
    let blackouts = blackouts.iter().filter_map(|entry| blackout(entry, report)).collect();
    let start_within = object.get("StartWithinMinutes");
    let start_within =
        start_within.and_then(|field| field.whole(report, START_WITHIN_ALLOWED, "(minutes)"));
    let good_sets = object.get("MinimumGoodSets");
    let good_sets = good_sets.and_then(|field| field.whole(report, GOOD_SETS, "(sets)"));
    let required = object.boolean_or(report, "RequireApplicationConsistency", false);
    let scripts = object.get("Scripts");
    Read {
        settings: Settings {
            time_zone: time_zone.unwrap_or(TimeZone::UTC),
            blackouts,
            start_within_minutes: start_within.unwrap_or(START_WITHIN_MINUTES),
            retention: RetentionSettings {
                require_application_consistency: required,
                minimum_good_sets: good_sets
                    .unwrap_or(RetentionSettings::default().minimum_good_sets),
            },
            scripts: BTreeMap::new(),
        },
        scripts: scripts.map(|field| script_settings::read(&field, report)).unwrap_or_default(),
    }
}

/// Only a pre-script and a post-script around CreateSnapshots, or VSS, can prove anything.
pub(super) fn check_provable(policy: &Policy, report: &mut Report) {
    let provable = |schedule: &&Schedule| {
        schedule
            .script
            .as_ref()
            .is_some_and(|script| script.handler == Handler::Vss || (script.pre && script.post))
    };
    for schedule in policy.schedules.iter().filter(|schedule| !provable(schedule)) {
        let why = if schedule.script.is_some() { "only one stage" } else { "no Scripts" };
        report.add(
            format!("{NAME}.RequireApplicationConsistency"),
            format!("true beside schedule {}, which has {why}", schedule.name),
            "true where every schedule has a script with both stages, or AWS_VSS_BACKUP",
        );
    }
}

fn time_zone(field: &At<'_>, report: &mut Report) -> Option<TimeZone> {
    let text = field.text(report)?;
    // EventBridge Scheduler takes the names of the IANA database to the letter.
    let known = TimeZone::get(text).ok().filter(|zone| zone.iana_name() == Some(text));
    if known.is_none() {
        field.refuse(report, "the name of a time zone such as Europe/Berlin or UTC");
    }
    known
}

fn blackout(entry: &At<'_>, report: &mut Report) -> Option<Blackout> {
    let window = entry.object(report, &["Days", "From", "To"])?;
    let allowed = "a time of day as 18:00, or a day and time as 2026-12-24T18:00";
    let from = window.need(report, "From", allowed).and_then(|field| moment(&field, report));
    let to = window.need(report, "To", allowed).and_then(|field| moment(&field, report));
    let days = window.get("Days").map(|field| days(&field, report));
    match (from?, to?) {
        (Moment::At(from), Moment::At(to)) => {
            window.absent(report, "Days", "From and To are days already");
            if to <= from {
                window.get("To")?.refuse(report, "a time after From");
                return None;
            }
            Some(Blackout::Between { from, to })
        }
        (Moment::Daily(from), Moment::Daily(to)) => {
            if to == from {
                window.get("To")?.refuse(report, "another time of day than From");
                return None;
            }
            let days = days.unwrap_or_else(|| WEEKDAYS.map(|(_, day)| day).to_vec());
            Some(Blackout::Weekly { days, from, to })
        }
        _ => {
            let found = "a time of day beside a day and time";
            report.add(entry.path.clone(), found, "From and To of the same kind");
            None
        }
    }
}

enum Moment {
    At(DateTime),
    Daily(Time),
}

fn moment(field: &At<'_>, report: &mut Report) -> Option<Moment> {
    let text = field.text(report)?;
    let read = match text.split_once('T') {
        Some((date, time)) if date.len() == 10 && is_hh_mm(time) => {
            text.parse().ok().map(Moment::At)
        }
        None if is_hh_mm(text) => text.parse().ok().map(Moment::Daily),
        _ => None,
    };
    if read.is_none() {
        field.refuse(report, "a time of day as 18:00, or a day and time as 2026-12-24T18:00");
    }
    read
}

fn is_hh_mm(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 5
        && bytes[2] == b':'
        && bytes.iter().enumerate().all(|(at, byte)| at == 2 || byte.is_ascii_digit())
}

fn days(field: &At<'_>, report: &mut Report) -> Vec<Weekday> {
    let mut days = Vec::new();
    for entry in field.list(report, 1..=7) {
        let Some(day) = entry.one_of(report, &WEEKDAYS) else { continue };
        if days.contains(&day) {
            entry.refuse(report, "each day once");
        } else {
            days.push(day);
        }
    }
    days
}
