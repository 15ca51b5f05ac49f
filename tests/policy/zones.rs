//! Schedules by the clock of a time zone: as EventBridge Scheduler has it where the clock changes.

use serde_json::json;
use stillpoint_policy::{Firing, Inventory, plan};

use super::world::{instance, scheduled};
use super::{base, policy};

fn firings(zone: &str, expression: &str, after: &str, count: usize) -> Vec<String> {
    let mut document = base();
    document["Stillpoint"] = json!({"TimeZone": zone});
    document["Schedules"][0]["CreateRule"]["CronExpression"] = json!(expression);
    let policy = policy(&document);
    let after = after.parse().expect("a time");
    let firings = policy.next_firings_of(&policy.schedules[0], after, count);
    firings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_time_of_day_is_that_of_the_zone() {
    assert_eq!(
        firings("Asia/Tokyo", "cron(0 3 * * ? *)", "2026-03-01T00:00:00Z", 2),
        ["2026-03-01T18:00:00Z", "2026-03-02T18:00:00Z"]
    );
    assert_eq!(
        firings("America/New_York", "cron(30 20 L * ? *)", "2026-01-02T00:00:00Z", 2),
        ["2026-02-01T01:30:00Z", "2026-03-01T01:30:00Z"]
    );
    // The zone's first of the month, at a time that is still the month before in UTC.
    assert_eq!(
        firings("Pacific/Kiritimati", "cron(0 1 1 * ? *)", "2026-01-30T00:00:00Z", 1),
        ["2026-01-31T11:00:00Z"]
    );
}

#[test]
fn what_the_clock_leaps_over_in_spring_is_left_out() {
    assert_eq!(
        firings("Europe/Berlin", "cron(30 2 * * ? *)", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
    );
}

#[test]
fn an_hour_that_comes_twice_in_autumn_counts_once() {
    assert_eq!(
        firings("Europe/Berlin", "cron(30 2 * * ? *)", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        firings("Europe/Berlin", "cron(0 * * * ? *)", "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25T00:00:00Z",
            "2026-10-25T02:00:00Z",
            "2026-10-25T03:00:00Z",
            "2026-10-25T04:00:00Z"
        ]
    );
}

#[test]
fn schedules_coincide_by_the_clock_of_the_zone() {
    let mut document = base();
    document["Stillpoint"] = json!({"TimeZone": "Europe/Berlin"});
    document["Schedules"][1]["CreateRule"]["CronExpression"] = json!("cron(0 3 ? * SUN *)");
    let policy = policy(&document);
    let names = |nominal: &str| {
        let firing = Firing { nominal: nominal.into(), ..scheduled() };
        let inventory = Inventory { instances: vec![instance("i-1")] };
        plan(&policy, &firing, &inventory).expect("a plan").schedule_names
    };
    assert_eq!(names("2026-03-15T02:00:00Z"), ["nightly", "weekly"]);
    assert_eq!(names("2026-03-15T03:00:00Z"), ["nightly"]);
    let after = "2026-03-14T12:00:00Z".parse().expect("a time");
    let next = policy.next_firings(after, 2);
    assert_eq!(next[0].at, "2026-03-15T02:00:00Z");
    assert_eq!(next[0].schedules, ["nightly", "weekly"]);
    assert_eq!(next[1].schedules, ["nightly"]);
}
