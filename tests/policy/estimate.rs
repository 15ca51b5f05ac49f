//! What a plan takes and costs, on numbers that can be checked by hand.

use serde_json::{Value, json};
use stillpoint_policy::{Assumptions, Estimate, Inventory, estimate, plan};

use super::world::{instance, scheduled, volume};
use super::{base, policy};

/// One schedule, two instances, 100 GiB in each.
pub(super) fn estimated(schedules: Value, instances: usize, assume: &Assumptions) -> Estimate {
    let mut document = base();
    document["Schedules"] = schedules;
    let policy = policy(&document);
    let one = |n: usize| {
        let mut instance = instance(&format!("i-{n}"));
        instance.volumes =
            vec![volume("vol-0", "/dev/xvda", &[]), volume("vol-1", "/dev/sdf", &[])];
        instance.volumes[0].size_gib = 20;
        instance.volumes[1].size_gib = 80;
        instance
    };
    let inventory = Inventory { instances: (0..instances).map(one).collect() };
    let plan = plan(&policy, &scheduled(), &inventory).expect("a plan");
    estimate(&policy, &plan, scheduled().fired_at, assume)
}

pub(super) fn nightly(retain: Value) -> Value {
    json!([{"Name": "nightly", "CreateRule": {"CronExpression": "cron(0 3 * * ? *)"},
            "RetainRule": retain}])
}

#[test]
fn snapshot_data_is_the_first_copy_and_the_changes_between_the_sets() {
    let assume = Assumptions { daily_change: 0.1, ..Assumptions::default() };
    let week = estimated(nightly(json!({"Count": 7})), 2, &assume).monthly;
    // 200 GiB, and six days in which a tenth of it changes.
    assert_eq!((week.stored_gib, week.snapshots, week.kept_sets), (320.0, 16.0, 7.0));
    let age = estimated(nightly(json!({"Interval": 1, "IntervalUnit": "WEEKS"})), 2, &assume);
    assert_eq!(age.monthly.stored_gib, 320.0);
    // Everything changes between two sets that are a year apart, but no more than everything.
    let yearly = json!([{"Name": "y", "CreateRule": {"CronExpression": "cron(0 3 1 1 ? *)"},
                         "RetainRule": {"Count": 3}}]);
    assert_eq!(estimated(yearly, 1, &assume).monthly.stored_gib, 300.0);
    // A weekly schedule beside the nightly one only adds the weeks before.
    let mut both = nightly(json!({"Count": 7}));
    both.as_array_mut().expect("a list").push(json!(
        {"Name": "weekly", "CreateRule": {"CronExpression": "cron(0 3 ? * SUN *)"},
         "RetainRule": {"Count": 2}}));
    let both = estimated(both, 2, &assume).monthly.stored_gib;
    assert!(both > 320.0 && both < 500.0, "{both}");
}

#[test]
fn very_long_retention_is_counted_without_listing_it() {
    let hourly = json!([{"Name": "h", "CreateRule": {"Interval": 1, "IntervalUnit": "HOURS"},
                         "RetainRule": {"Interval": 100, "IntervalUnit": "YEARS"}}]);
    let monthly = estimated(hourly, 1, &Assumptions::default()).monthly;
    let sets = 100.0 * 365.24 * 24.0;
    assert!((monthly.kept_sets / sets - 1.0).abs() < 0.01, "{}", monthly.kept_sets);
    let gib = 100.0 * (1.0 + 36_524.0 * 0.03);
    assert!((monthly.stored_gib / gib - 1.0).abs() < 0.01, "{}", monthly.stored_gib);
}

#[test]
fn copies_and_fast_restore_are_counted() {
    let mut schedules = nightly(json!({"Count": 7}));
    schedules[0]["CrossRegionCopyRules"] = json!([{"Target": "eu-west-1", "Encrypted": true}]);
    schedules[0]["FastRestoreRule"] = json!({"Count": 1, "AvailabilityZones": ["us-east-1a"]});
    let estimate = estimated(schedules, 1, &Assumptions::default());
    // The same data there, and 100 GiB once a month is what 3 % a day come to.
    let moved = 100.0 * 0.03 * (730.0 / 24.0) * 0.02;
    let expected = 100.0 * 1.18 * 0.05 + moved;
    assert!((estimate.monthly.copies - expected).abs() < 0.01, "{}", estimate.monthly.copies);
    // Two snapshots in one zone.
    assert_eq!(estimate.monthly.fast_restore, 2.0 * 730.0 * 0.75);
    assert!(estimate.notes.iter().any(|note| note.contains("at most 5 snapshots a Region")));
    let all = estimate.monthly.snapshots
        + estimate.monthly.copies
        + estimate.monthly.fast_restore
        + estimate.monthly.requests;
    assert!((estimate.monthly.total - all).abs() < 0.02);
}

#[test]
fn time_is_that_of_the_stages_and_of_the_rate_that_ec2_takes() {
    let assume = Assumptions { command_secs: 2.0, create_secs: 1.0, ..Assumptions::default() };
    let plain = estimated(nightly(json!({"Count": 7})), 1, &assume);
    assert_eq!((plain.run_secs, plain.frozen_secs, plain.firing_secs), (1.0, 0.0, 1.0));
    let mut schedules = nightly(json!({"Count": 7}));
    schedules[0]["CreateRule"]["Scripts"] = json!([{"ExecutionHandler": "Own-Document"}]);
    let scripted = estimated(schedules.clone(), 150, &assume);
    assert_eq!(scripted.run_secs, 5.0);
    assert_eq!(scripted.frozen_secs, 3.0);
    assert_eq!(scripted.firing_secs, 15.0, "50 beyond the burst, 5 a second");
    let nobody = estimated(schedules, 0, &assume);
    assert_eq!((nobody.run_secs, nobody.monthly.snapshots), (0.0, 0.0));
}

#[test]
fn assumptions_are_replaced_by_name() {
    let read = Assumptions::read(r#"{"snapshotGbMonth": 0.06, "dailyChange": 0}"#).expect("prices");
    assert_eq!((read.snapshot_gb_month, read.daily_change), (0.06, 0.0));
    assert_eq!(read.fast_restore_hour, Assumptions::default().fast_restore_hour);
    let lines = |text: &str| -> Vec<String> {
        Assumptions::read(text).expect_err("wrong").iter().map(ToString::to_string).collect()
    };
    let found = lines(r#"{"snapshotGbMonth": "5 cents", "dailyChange": -1, "price": 1}"#);
    assert!(found[0].starts_with("assumptions.price: found an unknown field, allowed snapshotGb"));
    assert_eq!(
        found[1..],
        [
            "assumptions.snapshotGbMonth: found \"5 cents\", allowed a number from 0 to 1000000000",
            "assumptions.dailyChange: found -1, allowed a number from 0 to 1000000000"
        ]
    );
    assert_eq!(lines("[]"), ["assumptions: found an empty list, allowed an object"]);
}

#[test]
fn the_page_on_policies_names_every_assumption() {
    let page = include_str!("../../docs/POLICIES.md");
    let names = serde_json::to_value(Assumptions::default()).expect("JSON");
    for name in names.as_object().expect("an object").keys() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
