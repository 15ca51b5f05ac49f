//! A schedule's name, its create rule and its retention, and what holds between schedules.

use serde_json::{Value, json};
use stillpoint_policy::{Age, CreateRule, Retain, RetainUnit};

use super::{base, changed, check, policy, problems};

const RULE: &str = "/Schedules/0/CreateRule";
const RETAIN: &str = "/Schedules/0/RetainRule";

#[test]
fn names_are_plain_and_unique() {
    let path = "/Schedules/0/Name";
    check(&[
        (path, json!("a"), &[]),
        (path, json!("Every 12_hours - A"), &[]),
        (path, json!("x".repeat(120)), &[]),
        (
            path,
            json!(""),
            &["PolicyDetails.Schedules[0].Name: found \"\", allowed 1 to 120 \
                             characters"],
        ),
        (
            path,
            json!("a/b"),
            &["PolicyDetails.Schedules[0].Name: found \"a/b\", allowed letters, \
                                digits, spaces, _ and -"],
        ),
        (path, json!(1), &["PolicyDetails.Schedules[0].Name: found 1, allowed a string"]),
        (
            path,
            json!("weekly"),
            &["PolicyDetails.Schedules[1].Name: found \"weekly\", allowed a \
                                   name that Schedules[0] does not have"],
        ),
    ]);
    let long = problems(&changed(&[(path, Some(json!("x".repeat(121))))]));
    assert!(long[0].ends_with("(121 characters), allowed 1 to 120 characters"), "{long:?}");
}

#[test]
fn names_that_are_no_text_are_not_called_the_same() {
    let names = [("/Schedules/0/Name", Some(json!(1))), ("/Schedules/1/Name", Some(json!(null)))];
    assert_eq!(
        problems(&changed(&names)),
        [
            "PolicyDetails.Schedules[0].Name: found 1, allowed a string",
            "PolicyDetails.Schedules[1].Name: found null, allowed a string",
        ]
    );
}

#[test]
fn a_schedule_without_a_name_gets_one() {
    let unnamed = changed(&[("/Schedules/0/Name", None), ("/Schedules/1/Name", None)]);
    let names: Vec<String> =
        policy(&unnamed).schedules.into_iter().map(|schedule| schedule.name).collect();
    assert_eq!(names, ["Schedule 1", "Schedule 2"]);
    let taken =
        changed(&[("/Schedules/0/Name", Some(json!("Schedule 2"))), ("/Schedules/1/Name", None)]);
    assert_eq!(
        problems(&taken),
        [
            "PolicyDetails.Schedules[1].Name: found \"Schedule 2\", allowed a name that Schedules[0] \
          does not have"
        ]
    );
}

#[test]
fn schedules_are_found_by_name_and_the_first_without() {
    let policy = policy(&base());
    assert_eq!(policy.schedule(None).map(|found| found.name.as_str()), Some("nightly"));
    assert_eq!(policy.schedule(Some("weekly")).map(|found| found.name.as_str()), Some("weekly"));
    assert_eq!(policy.schedule(Some("Weekly")), None);
}

#[test]
fn the_rules_of_a_schedule_are_required() {
    assert_eq!(
        problems(&changed(&[(RULE, None), (RETAIN, None)])),
        [
            "PolicyDetails.Schedules[0].CreateRule: found nothing, allowed an object with \
             CronExpression, or Interval, IntervalUnit and Times",
            "PolicyDetails.Schedules[0].RetainRule: found nothing, allowed an object with Count, \
             or Interval and IntervalUnit",
        ]
    );
    check(&[
        (
            "/Schedules/0/CopyTags",
            json!(0),
            &["PolicyDetails.Schedules[0].CopyTags: found 0, allowed true or false"],
        ),
        (
            RULE,
            json!({}),
            &[
                "PolicyDetails.Schedules[0].CreateRule.CronExpression: found nothing, allowed it, or \
            Interval, IntervalUnit and Times",
            ],
        ),
    ]);
}

#[test]
fn the_location_is_the_cloud() {
    let path = "/Schedules/0/CreateRule/Location";
    let elsewhere = |found: &str| {
        format!(
            "PolicyDetails.Schedules[0].CreateRule.Location: found \"{found}\", allowed CLOUD \
             (sets are made in the Region only; leave resources on Outposts and in Local Zones to \
             DLM)"
        )
    };
    check(&[
        (path, json!("CLOUD"), &[]),
        (path, json!("OUTPOST_LOCAL"), &[&elsewhere("OUTPOST_LOCAL")]),
        (path, json!("LOCAL_ZONE"), &[&elsewhere("LOCAL_ZONE")]),
        (
            path,
            json!("cloud"),
            &["PolicyDetails.Schedules[0].CreateRule.Location: found \"cloud\", allowed CLOUD or \
            OUTPOST_LOCAL or LOCAL_ZONE"],
        ),
    ]);
}

#[test]
fn a_cron_expression_and_an_interval_exclude_each_other() {
    let instead = |name: &str, found: &str| {
        format!(
            "PolicyDetails.Schedules[0].CreateRule.{name}: found {found}, allowed nothing: \
             CronExpression stands in its place"
        )
    };
    let both = json!({"CronExpression": "cron(0 3 * * ? *)", "Interval": 12,
                      "IntervalUnit": "HOURS", "Times": ["03:00"]});
    check(&[(
        RULE,
        both,
        &[
            &instead("Interval", "12"),
            &instead("IntervalUnit", "\"HOURS\""),
            &instead("Times", "a list of 1"),
        ],
    )]);
}

#[test]
fn intervals_are_the_eight_that_dlm_has() {
    let rule = |interval: Value| json!({"Interval": interval, "IntervalUnit": "HOURS"});
    for hours in 0..=25 {
        let found = problems(&changed(&[(RULE, Some(rule(json!(hours))))]));
        if [1, 2, 3, 4, 6, 8, 12, 24].contains(&hours) {
            assert_eq!(found, [""; 0]);
        } else {
            assert_eq!(
                found,
                [format!(
                    "PolicyDetails.Schedules[0].CreateRule.Interval: found {hours}, allowed 1, 2, \
                     3, 4, 6, 8, 12 or 24 (hours)"
                )]
            );
        }
    }
    check(&[
        (
            RULE,
            json!({"Interval": 12}),
            &["PolicyDetails.Schedules[0].CreateRule.IntervalUnit: found nothing, allowed HOURS"],
        ),
        (
            RULE,
            json!({"IntervalUnit": "DAYS", "Times": ["24:00"]}),
            &[
                "PolicyDetails.Schedules[0].CreateRule.Interval: found nothing, allowed 1, 2, 3, 4, 6, \
            8, 12 or 24 (hours)",
                "PolicyDetails.Schedules[0].CreateRule.IntervalUnit: found \"DAYS\", allowed HOURS",
                "PolicyDetails.Schedules[0].CreateRule.Times[0]: found \"24:00\", allowed a UTC time \
            from 00:00 to 23:59, as hh:mm",
            ],
        ),
    ]);
}

#[test]
fn there_is_at_most_one_time() {
    let rule = |times: Value| json!({"Interval": 12, "IntervalUnit": "HOURS", "Times": times});
    let wrong = |found: &str| {
        format!(
            "PolicyDetails.Schedules[0].CreateRule.Times[0]: found {found:?}, allowed a UTC time \
             from 00:00 to 23:59, as hh:mm"
        )
    };
    check(&[
        (RULE, rule(json!([])), &[]),
        (RULE, rule(json!(["00:00"])), &[]),
        (RULE, rule(json!(["23:59"])), &[]),
        (RULE, rule(json!(["9:00"])), &[&wrong("9:00")]),
        (RULE, rule(json!(["23:60"])), &[&wrong("23:60")]),
        (RULE, rule(json!(["+1:00"])), &[&wrong("+1:00")]),
        (RULE, rule(json!(["09:00:00"])), &[&wrong("09:00:00")]),
        (
            RULE,
            rule(json!(["09:00", "21:00"])),
            &["PolicyDetails.Schedules[0].CreateRule.Times: found a list of 2, allowed at most 1 \
            entry"],
        ),
    ]);
    let policy = policy(&changed(&[(RULE, Some(rule(json!([]))))]));
    let rule = &policy.schedules[0].create_rule;
    assert!(matches!(rule, CreateRule::Interval { every_hours: 12, time_given: false, .. }));
}

#[test]
fn retention_is_a_count_or_an_age() {
    let count = |count: i64| json!({"Count": count});
    let age = |interval: u32, unit: &str| json!({"Interval": interval, "IntervalUnit": unit});
    let rule = |value: Value| {
        // The kind of retention is one for all schedules.
        let other = value.clone();
        problems(&changed(&[(RETAIN, Some(value)), ("/Schedules/1/RetainRule", Some(other))]))
    };
    let path = "PolicyDetails.Schedules[0].RetainRule";
    let rows = [
        (count(1), None),
        (count(1000), None),
        (count(0), Some(".Count: found 0, allowed 1 to 1000 (snapshots)")),
        (count(1001), Some(".Count: found 1001, allowed 1 to 1000 (snapshots)")),
        (count(-1), Some(".Count: found -1, allowed 1 to 1000 (snapshots)")),
        (age(1, "DAYS"), None),
        (age(36_500, "DAYS"), None),
        (age(5_200, "WEEKS"), None),
        (age(1_200, "MONTHS"), None),
        (age(100, "YEARS"), None),
        (age(36_501, "DAYS"), Some(".Interval: found 36501, allowed 1 to 36500 (100 years)")),
        (age(5_201, "WEEKS"), Some(".Interval: found 5201, allowed 1 to 5200 (100 years)")),
        (age(1_201, "MONTHS"), Some(".Interval: found 1201, allowed 1 to 1200 (100 years)")),
        (age(101, "YEARS"), Some(".Interval: found 101, allowed 1 to 100 (100 years)")),
        (age(0, "DAYS"), Some(".Interval: found 0, allowed 1 to 36500 (100 years)")),
        (
            age(1, "HOURS"),
            Some(".IntervalUnit: found \"HOURS\", allowed DAYS or WEEKS or MONTHS or YEARS"),
        ),
        (json!({}), Some(": found an object, allowed Count, or Interval and IntervalUnit")),
        (
            json!({"Interval": 1}),
            Some(".IntervalUnit: found nothing, allowed DAYS or WEEKS or MONTHS or YEARS"),
        ),
        (
            json!({"IntervalUnit": "DAYS"}),
            Some(".Interval: found nothing, allowed a whole number of IntervalUnit"),
        ),
        (
            json!({"Count": 1, "Interval": 1}),
            Some(".Interval: found 1, allowed nothing: Count stands in its place"),
        ),
    ];
    for (value, rest) in rows {
        let found = rule(value.clone());
        match rest {
            None => assert_eq!(found, [""; 0], "{value}"),
            Some(rest) => assert_eq!(found[0], format!("{path}{rest}"), "{value}"),
        }
    }
}

#[test]
fn retention_is_carried_and_of_one_kind() {
    let age = json!({"Interval": 3, "IntervalUnit": "MONTHS"});
    let mixed = changed(&[("/Schedules/1/RetainRule", Some(age.clone()))]);
    assert_eq!(
        problems(&mixed),
        ["PolicyDetails.Schedules[1].RetainRule: found Interval beside a schedule with Count, \
          allowed the same kind of retention in all schedules"]
    );
    let aged = changed(&[(RETAIN, Some(age.clone())), ("/Schedules/1/RetainRule", Some(age))]);
    let retain = policy(&aged).schedules[0].retain;
    assert_eq!(retain, Retain::Age(Age { interval: 3, unit: RetainUnit::Months }));
    assert_eq!(policy(&base()).schedules[0].retain, Retain::Count(7));
}
