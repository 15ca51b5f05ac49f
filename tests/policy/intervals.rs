//! Interval and Times: counted as the cron expression that says the same.

use super::{changed, policy};
use serde_json::json;

fn expression_and_firings(hours: u32, times: &[&str]) -> (String, Vec<String>) {
    let rule = json!({"Interval": hours, "IntervalUnit": "HOURS", "Times": times});
    let policy = policy(&changed(&[("/Schedules/0/CreateRule", Some(rule))]));
    let schedule = &policy.schedules[0];
    let after = "2026-02-28T20:00:00Z".parse().expect("a time");
    let firings =
        policy.next_firings_of(schedule, after, 3).iter().map(ToString::to_string).collect();
    (schedule.create_rule.cron().text().to_owned(), firings)
}

#[test]
fn intervals_count_from_their_time_around_the_clock() {
    for (hours, time, expression, firings) in [
        (
            24,
            "09:30",
            "cron(30 9 * * ? *)",
            ["2026-03-01T09:30:00Z", "2026-03-02T09:30:00Z", "2026-03-03T09:30:00Z"],
        ),
        (
            12,
            "21:45",
            "cron(45 9,21 * * ? *)",
            ["2026-02-28T21:45:00Z", "2026-03-01T09:45:00Z", "2026-03-01T21:45:00Z"],
        ),
        (
            8,
            "23:00",
            "cron(0 7,15,23 * * ? *)",
            ["2026-02-28T23:00:00Z", "2026-03-01T07:00:00Z", "2026-03-01T15:00:00Z"],
        ),
        (
            2,
            "01:05",
            "cron(5 1,3,5,7,9,11,13,15,17,19,21,23 * * ? *)",
            ["2026-02-28T21:05:00Z", "2026-02-28T23:05:00Z", "2026-03-01T01:05:00Z"],
        ),
        (
            1,
            "17:10",
            "cron(10 * * * ? *)",
            ["2026-02-28T20:10:00Z", "2026-02-28T21:10:00Z", "2026-02-28T22:10:00Z"],
        ),
    ] {
        let found = expression_and_firings(hours, &[time]);
        assert_eq!(found, (expression.to_owned(), firings.map(str::to_owned).to_vec()));
    }
}

#[test]
fn without_a_time_they_count_from_midnight() {
    assert_eq!(expression_and_firings(6, &[]).0, "cron(0 0,6,12,18 * * ? *)");
}

#[test]
fn every_interval_makes_an_expression_that_reads_back() {
    for hours in [1, 2, 3, 4, 6, 8, 12, 24] {
        let (expression, firings) = expression_and_firings(hours, &["05:59"]);
        let again = stillpoint_policy::Cron::parse(&expression).expect("an expression");
        let after = "2026-02-28T20:00:00Z".parse().expect("a time");
        let read: Vec<String> =
            again.next_after(after, 3).iter().map(ToString::to_string).collect();
        assert_eq!(read, firings, "{expression}");
    }
}
