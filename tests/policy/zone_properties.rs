//! Firings by the clock of a zone against a clock that is watched minute by minute.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::{base, config, policy};

/// Zones whose clocks change by an hour, by half an hour, at midnight, never, and far from UTC.
const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Kolkata",
    "Pacific/Kiritimati",
    "UTC",
];
const DAYS: i64 = 5;

/// Every minute at which the clock shows one of the hours and the minute, the first time only.
fn watched(zone: &TimeZone, hours: &BTreeSet<i8>, minute: i8, after: Timestamp) -> Vec<Timestamp> {
    let mut shown: BTreeSet<DateTime> = BTreeSet::new();
    // From a day before, since an hour that comes twice may have come once already.
    let start = after - SignedDuration::from_hours(24);
    let minutes = (24 + DAYS * 24) * 60;
    let mut found = Vec::new();
    for minutes in 0..minutes {
        let time = start + SignedDuration::from_mins(minutes);
        let local = zone.to_datetime(time);
        let fires = hours.contains(&local.hour()) && local.minute() == minute;
        if fires && shown.insert(local) && time > after {
            found.push(time);
        }
    }
    found
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_zones_firings_are_those_of_its_clock(
        zone in prop::sample::select(ZONES.to_vec()),
        hours in prop::collection::btree_set(0i8..24, 1..4),
        minute in 0i8..60,
        // Near the days on which clocks change, and elsewhere.
        day in prop_oneof![Just("2026-03-07"), Just("2026-03-28"), Just("2026-10-24"),
                           Just("2026-10-31"), Just("2026-04-04"), Just("2026-12-30")],
        shift in 0i64..2_880,
    ) {
        let start: Timestamp = format!("{day}T00:00:00Z").parse().expect("a time");
        let after = start + SignedDuration::from_mins(shift);
        let list: Vec<String> = hours.iter().map(ToString::to_string).collect();
        let mut document = base();
        document["Stillpoint"] = json!({"TimeZone": zone});
        document["Schedules"][0]["CreateRule"]["CronExpression"] =
            json!(format!("cron({minute} {} * * ? *)", list.join(",")));
        let policy = policy(&document);
        let expected = watched(&policy.settings.time_zone, &hours, minute, after);
        let found = policy.next_firings_of(&policy.schedules[0], after, expected.len());
        prop_assert_eq!(found, expected);
    }
}
