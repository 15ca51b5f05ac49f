//! Default policies for instances (PolicyLanguage SIMPLIFIED).

use serde_json::{Value, json};
use stillpoint_policy::{
    Age, DefaultPolicy, Firing, Instance, Inventory, Plan, Retain, RetainUnit, Tag, plan,
};

use super::world::{instance, reasons, scheduled, tags};
use super::{ID, policy, problems};

fn simplified(changes: &[(&str, Value)]) -> Value {
    let mut document = json!({"PolicyType": "IMAGE_MANAGEMENT", "PolicyLanguage": "SIMPLIFIED",
                              "ResourceType": "INSTANCE"});
    for (name, value) in changes {
        document[*name] = value.clone();
    }
    document
}

#[test]
fn its_defaults_are_those_of_dlm() {
    let policy = policy(&simplified(&[]));
    let default =
        DefaultPolicy { create_interval_days: 1, exclude_tags: Vec::new(), extend_deletion: false };
    assert_eq!(policy.default_policy, Some(default));
    assert!(policy.target_tags.is_empty() && policy.enabled());
    let schedule = &policy.schedules[0];
    assert_eq!(schedule.name, "Default");
    assert_eq!(schedule.create_rule.cron().text(), "cron(0 0 * * ? *)");
    assert_eq!(schedule.retain, Retain::Age(Age { interval: 7, unit: RetainUnit::Days }));
    assert!(!schedule.copy_tags && schedule.script.is_none() && schedule.copies.is_empty());
}

#[test]
fn what_the_command_line_prints_for_one_is_taken_whole() {
    let policy = policy(&json!({"Policy": {
        "PolicyId": ID, "Description": "Default policy", "State": "ENABLED", "DefaultPolicy": true,
        "PolicyDetails": {
            "PolicyType": "IMAGE_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
            "PolicyLanguage": "SIMPLIFIED", "ResourceType": "INSTANCE", "CreateInterval": 3,
            "RetainInterval": 14, "CopyTags": true, "ExtendDeletion": true,
            "CrossRegionCopyTargets": [{"TargetRegion": "eu-central-1"}],
            "Exclusions": {"ExcludeBootVolumes": false, "ExcludeVolumeTypes": [],
                           "ExcludeTags": [{"Key": "backup", "Value": "no"}]}
        }
    }}));
    let tag = Tag { key: "backup".into(), value: "no".into() };
    let default =
        DefaultPolicy { create_interval_days: 3, exclude_tags: vec![tag], extend_deletion: true };
    assert_eq!(policy.default_policy, Some(default));
    let copy = &policy.schedules[0].copies[0];
    assert_eq!(copy.target_region, "eu-central-1");
    assert_eq!(copy.retain, Some(Age { interval: 14, unit: RetainUnit::Days }));
    assert!(policy.schedules[0].copy_tags);
}

#[test]
fn each_way_of_being_wrong_has_its_line() {
    let only_volumes = "only the default policy for volumes has it";
    let rows: [(&[(&str, Value)], String); 12] = [
        (
            &[("ResourceType", json!("VOLUME"))],
            "ResourceType: found \"VOLUME\", allowed INSTANCE (nothing is made of single volumes \
             here; it covers every attached volume, and DLM goes on with the volumes that are not \
             attached)"
                .into(),
        ),
        (&[("CreateInterval", json!(0))], "CreateInterval: found 0, allowed 1 to 7 (days)".into()),
        (&[("CreateInterval", json!(8))], "CreateInterval: found 8, allowed 1 to 7 (days)".into()),
        (&[("RetainInterval", json!(1))], "RetainInterval: found 1, allowed 2 to 14 (days)".into()),
        (
            &[("RetainInterval", json!(15))],
            "RetainInterval: found 15, allowed 2 to 14 (days)".into(),
        ),
        (
            &[("CreateInterval", json!(7))],
            "RetainInterval: found 7, allowed more than CreateInterval, which is 7".into(),
        ),
        (
            &[("CrossRegionCopyTargets", json!([{"TargetRegion": "nowhere"}]))],
            "CrossRegionCopyTargets[0].TargetRegion: found \"nowhere\", allowed a Region such as \
             eu-west-1"
                .into(),
        ),
        (
            &[(
                "CrossRegionCopyTargets",
                json!([{"TargetRegion": "eu-west-1"},
                                                {"TargetRegion": "eu-west-1"}]),
            )],
            "CrossRegionCopyTargets[1]: found eu-west-1 again, allowed each Region once".into(),
        ),
        (
            &[("Exclusions", json!({"ExcludeBootVolumes": true}))],
            format!("Exclusions.ExcludeBootVolumes: found true, allowed false: {only_volumes}"),
        ),
        (
            &[("Exclusions", json!({"ExcludeVolumeTypes": ["st1"]}))],
            format!(
                "Exclusions.ExcludeVolumeTypes: found a list of 1, allowed nothing: {only_volumes}"
            ),
        ),
        (
            &[("TargetTags", json!([{"Key": "a", "Value": "b"}]))],
            "TargetTags: found a list of 1, allowed nothing: a default policy (PolicyLanguage \
             SIMPLIFIED) has none"
                .into(),
        ),
        (
            &[("PolicyType", json!("SNAPSHOTS"))],
            "PolicyType: found \"SNAPSHOTS\", allowed EBS_SNAPSHOT_MANAGEMENT or IMAGE_MANAGEMENT"
                .into(),
        ),
    ];
    for (changes, rest) in rows {
        assert_eq!(problems(&simplified(changes)), [format!("PolicyDetails.{rest}")]);
    }
    let mut bare = simplified(&[]);
    bare.as_object_mut().expect("an object").remove("ResourceType");
    assert_eq!(problems(&bare), ["PolicyDetails.ResourceType: found nothing, allowed INSTANCE"]);
}

const HOUR_MS: u64 = 60 * 60 * 1_000;

fn aged(id: &str, launched_hours: u64, backed_up_hours: Option<u64>) -> Instance {
    let now: jiff::Timestamp = "2026-03-10T00:00:00Z".parse().expect("a time");
    let now_ms = u64::try_from(now.as_millisecond()).expect("after 1970");
    Instance {
        tags: tags(&[]),
        launched_ms: Some(now_ms - launched_hours * HOUR_MS),
        backed_up_ms: backed_up_hours.map(|hours| now_ms - hours * HOUR_MS),
        ..instance(id)
    }
}

fn fired(instances: Vec<Instance>, ids: Option<Vec<String>>) -> Plan {
    let document = simplified(&[
        ("CreateInterval", json!(2)),
        ("Exclusions", json!({"ExcludeTags": [{"Key": "backup", "Value": "no"}]})),
    ]);
    let firing =
        Firing { nominal: "2026-03-10T00:00:00Z".into(), instance_ids: ids, ..scheduled() };
    plan(&policy(&document), &firing, &Inventory { instances }).expect("a plan")
}

#[test]
fn it_is_for_every_instance_without_a_recent_backup() {
    let mut excluded = aged("i-5", 100, None);
    excluded.tags = tags(&[("backup", "no")]);
    let instances = vec![
        aged("i-1", 24, None),
        aged("i-2", 23, None),
        aged("i-3", 100, Some(43)),
        // The last set was made at the end of its four hours, this one at the begin.
        aged("i-4", 100, Some(44)),
        excluded,
    ];
    let plan = fired(instances, None);
    let ids: Vec<&str> = plan.runs.iter().map(|run| run.instance_id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-4"]);
    assert_eq!(
        reasons(&plan.left_out),
        [
            ("i-2", "it was launched 23 hours ago, less than 24"),
            (
                "i-3",
                "all its volumes have a snapshot of 43 hours ago or less, and CreateInterval is 2 \
                 days"
            ),
            ("i-5", "tag backup=no (Exclusions.ExcludeTags)"),
        ]
    );
    assert_eq!(
        plan.warnings,
        [
            "a default policy registers AMIs in DLM; here each instance gets the snapshot set of one, \
          at 00:00"
        ]
    );
}

#[test]
fn an_instance_that_is_named_gets_its_set_unless_it_is_excluded() {
    let mut excluded = aged("i-2", 100, None);
    excluded.tags = tags(&[("backup", "no")]);
    let ids = Some(vec!["i-1".to_owned(), "i-2".to_owned()]);
    let plan = fired(vec![aged("i-1", 1, Some(1)), excluded], ids);
    assert_eq!(plan.runs.len(), 1);
    assert_eq!(reasons(&plan.left_out), [("i-2", "it has one of Exclusions.ExcludeTags")]);
}
