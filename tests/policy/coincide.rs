//! Schedules that fire at the same time: one set, the highest retention, the union of the rest.

use serde_json::{Value, json};
use stillpoint_policy::{
    Age, Firing, Inventory, Plan, Policy, Retain, RetainUnit, SetRules, Zone, plan, set_rules,
};

use super::world::{instance, scheduled, tags};
use super::{base, policy};

/// A Sunday, at the time that all three have.
const SUNDAY: &str = "2026-03-15T03:00:00Z";
const MONDAY: &str = "2026-03-16T03:00:00Z";

fn three() -> Value {
    let mut document = base();
    document["Schedules"] = json!([
        {
            "Name": "nightly",
            "TagsToAdd": [{"Key": "kind", "Value": "nightly"}, {"Key": "a", "Value": "1"}],
            "CreateRule": {
                "CronExpression": "cron(0 3 * * ? *)",
                "Scripts": [{"ExecutionHandler": "Stillpoint-PostgreSQL"}]
            },
            "RetainRule": {"Count": 14},
            "FastRestoreRule": {"Count": 3, "AvailabilityZones": ["eu-west-1a", "eu-west-1b"]},
            "CrossRegionCopyRules": [
                {"Target": "eu-central-1", "Encrypted": false, "CopyTags": true,
                 "RetainRule": {"Interval": 7, "IntervalUnit": "DAYS"}}
            ],
            "ShareRules": [{"TargetAccounts": ["111122223333"], "UnshareInterval": 3,
                            "UnshareIntervalUnit": "DAYS"}]
        },
        {
            "Name": "weekly",
            "CopyTags": true,
            "TagsToAdd": [{"Key": "kind", "Value": "weekly"}],
            "VariableTags": [{"Key": "a", "Value": "$(instance-id)"},
                             {"Key": "b", "Value": "$(timestamp)"}],
            "CreateRule": {"CronExpression": "cron(0 3 ? * SUN *)"},
            "RetainRule": {"Count": 4},
            "FastRestoreRule": {"Count": 1, "AvailabilityZones": ["eu-west-1a"]},
            "CrossRegionCopyRules": [
                {"Target": "eu-central-1", "Encrypted": true,
                 "RetainRule": {"Interval": 3, "IntervalUnit": "MONTHS"}},
                {"Target": "eu-north-1", "Encrypted": false}
            ],
            "ShareRules": [{"TargetAccounts": ["444455556666", "111122223333"]}]
        },
        {
            "Name": "noon",
            "CreateRule": {"CronExpression": "cron(0 12 * * ? *)"},
            "RetainRule": {"Count": 1000}
        }
    ]);
    document
}

fn rules(policy: &Policy, schedule: &str, nominal: &str) -> SetRules {
    set_rules(policy, schedule, Some(nominal.parse().expect("a time"))).expect("a schedule")
}

fn fired(policy: &Policy, schedule: &str, nominal: &str) -> Plan {
    let firing = Firing { schedule: Some(schedule.into()), nominal: nominal.into(), ..scheduled() };
    plan(policy, &firing, &Inventory { instances: vec![instance("i-1")] }).expect("a plan")
}

#[test]
fn every_firing_of_one_time_is_the_same_plan() {
    let policy = policy(&three());
    let sunday = fired(&policy, "nightly", SUNDAY);
    assert_eq!(sunday, fired(&policy, "weekly", SUNDAY));
    assert_eq!(sunday.schedule_name, "weekly", "the run id is made from it");
    assert_eq!(sunday.schedule_names, ["nightly", "weekly"]);
    assert_eq!(
        sunday.warnings,
        [
            "nightly, weekly fire at the same time: one set, kept by weekly, with the tags and rules \
          of all"
        ]
    );
    let monday = fired(&policy, "nightly", MONDAY);
    assert_eq!((monday.schedule_name.as_str(), monday.schedule_names.len()), ("nightly", 1));
    assert_eq!(monday.warnings, [""; 0]);
}

#[test]
fn the_set_is_made_with_what_all_of_them_ask_for() {
    let plan = fired(&policy(&three()), "nightly", SUNDAY);
    let run = &plan.runs[0];
    assert!(run.copy_tags);
    // The keeping schedule's value of a key, whichever of the lists it is in.
    assert_eq!(run.tags, tags(&[("kind", "weekly"), ("a", "i-1"), ("b", SUNDAY)]));
    let script = run.script.as_ref().expect("the script of the one that has one");
    assert_eq!(script.document, "Stillpoint-PostgreSQL");
}

#[test]
fn a_set_has_one_script() {
    let mut document = three();
    document["Schedules"][1]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "Stillpoint-MySQL"}]);
    let plan = fired(&policy(&document), "nightly", SUNDAY);
    let script = plan.runs[0].script.as_ref().expect("a script");
    assert_eq!(script.document, "Stillpoint-MySQL");
    assert_eq!(
        plan.warnings[1],
        "one set has one script: Stillpoint-MySQL of weekly, and not Stillpoint-PostgreSQL of \
         nightly"
    );
}

#[test]
fn what_becomes_of_the_set_is_the_highest_of_each() {
    let rules = rules(&policy(&three()), "nightly", SUNDAY);
    // Four weeks are longer than fourteen days, though four is less than fourteen.
    assert_eq!((rules.schedule_name.as_str(), rules.retain), ("weekly", Retain::Count(4)));
    let zones = [
        // One Sunday's set until the next Sunday, against three nights.
        (Zone::Name("eu-west-1a".into()), Retain::Count(1)),
        (Zone::Name("eu-west-1b".into()), Retain::Count(3)),
    ];
    assert_eq!(rules.fast_restore, zones.into());
    let copies: Vec<_> = rules
        .copies
        .iter()
        .map(|copy| (copy.target_region.as_str(), copy.encrypted, copy.copy_tags, copy.retain))
        .collect();
    let months = Some(Age { interval: 3, unit: RetainUnit::Months });
    assert_eq!(copies, [("eu-central-1", true, true, months), ("eu-north-1", false, false, None)]);
    let shares = [("111122223333".to_owned(), None), ("444455556666".to_owned(), None)];
    assert_eq!(rules.shares, shares.into());
}

#[test]
fn the_longest_age_keeps_and_the_first_of_equals() {
    let mut document = three();
    let age = |interval: u32, unit: &str| json!({"Interval": interval, "IntervalUnit": unit});
    let schedules = document["Schedules"].as_array_mut().expect("schedules");
    for schedule in schedules.iter_mut() {
        for name in ["FastRestoreRule", "ShareRules"] {
            schedule.as_object_mut().expect("an object").remove(name);
        }
        schedule["RetainRule"] = age(1, "MONTHS");
    }
    let keeps = |document: &Value| rules(&policy(document), "weekly", SUNDAY).schedule_name;
    assert_eq!(keeps(&document), "nightly");
    document["Schedules"][1]["RetainRule"] = age(32, "DAYS");
    assert_eq!(keeps(&document), "weekly");
    document["Schedules"][1]["RetainRule"] = age(30, "DAYS");
    assert_eq!(keeps(&document), "nightly", "March has 31 days");
}

#[test]
fn a_schedule_that_fires_no_more_keeps_for_ever() {
    let mut document = three();
    document["Schedules"][1]["CreateRule"]["CronExpression"] = json!("cron(0 3 15 3 ? 2026)");
    document["Schedules"][1]["RetainRule"] = json!({"Count": 1});
    assert_eq!(rules(&policy(&document), "nightly", SUNDAY).schedule_name, "weekly");
}

#[test]
fn on_demand_and_at_a_time_of_its_own_a_schedule_is_alone() {
    let policy = policy(&three());
    let alone = |schedule: &str, nominal: &str| {
        let plan = fired(&policy, schedule, nominal);
        assert_eq!(plan.schedule_names, [schedule]);
        assert_eq!(plan.schedule_name, schedule);
    };
    alone("weekly", "on-demand:1");
    alone("noon", SUNDAY);
    alone("weekly", MONDAY);
    assert_eq!(set_rules(&policy, "monthly", None), None);
}
