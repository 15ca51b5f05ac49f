//! The kinds of policy that DLM has and this version does not run: each refused by its name.

use serde_json::json;

use super::{changed, check, problems};

#[test]
fn the_policy_type_is_snapshots() {
    let path = "/PolicyType";
    check(&[
        (path, json!("EBS_SNAPSHOT_MANAGEMENT"), &[]),
        (
            path,
            json!("IMAGE_MANAGEMENT"),
            &["PolicyDetails.PolicyType: found \"IMAGE_MANAGEMENT\", allowed \
               EBS_SNAPSHOT_MANAGEMENT with ResourceTypes [\"INSTANCE\"] (no AMIs are registered \
               here; a snapshot set of the same instance is restored to an instance without one)"],
        ),
        (
            path,
            json!("EVENT_BASED_POLICY"),
            &["PolicyDetails.PolicyType: found \"EVENT_BASED_POLICY\", allowed \
               EBS_SNAPSHOT_MANAGEMENT (DLM goes on copying what others share with you; copies of \
               your own sets are CrossRegionCopyRules of a schedule)"],
        ),
        (
            path,
            json!("SNAPSHOTS"),
            &["PolicyDetails.PolicyType: found \"SNAPSHOTS\", allowed EBS_SNAPSHOT_MANAGEMENT"],
        ),
    ]);
    assert_eq!(problems(&changed(&[(path, None)])), [""; 0]);
}

#[test]
fn another_kind_of_policy_is_refused_once_and_not_picked_to_pieces() {
    let event = json!({
        "PolicyType": "EVENT_BASED_POLICY",
        "EventSource": {"Type": "MANAGED_CWE", "Parameters": {"EventType": "shareSnapshot",
            "SnapshotOwner": ["111122223333"], "DescriptionRegex": ".*"}},
        "Actions": [{"Name": "copy", "CrossRegionCopy": []}]
    });
    assert_eq!(problems(&event).len(), 1);
    let image = json!({"PolicyType": "IMAGE_MANAGEMENT", "Parameters": {"NoReboot": true}});
    assert_eq!(problems(&image).len(), 1);
}

#[test]
fn the_language_is_standard() {
    let path = "/PolicyLanguage";
    check(&[
        (path, json!("STANDARD"), &[]),
        (
            path,
            json!("standard"),
            &["PolicyDetails.PolicyLanguage: found \"standard\", allowed STANDARD or \
               SIMPLIFIED"],
        ),
    ]);
}

#[test]
fn fields_of_default_policies_are_refused_in_custom_ones() {
    for (name, value, found) in [
        ("ResourceType", json!("INSTANCE"), "\"INSTANCE\""),
        ("CreateInterval", json!(1), "1"),
        ("RetainInterval", json!(7), "7"),
        ("CopyTags", json!(true), "true"),
        ("CrossRegionCopyTargets", json!([{"TargetRegion": "eu-west-1"}]), "a list of 1"),
        ("ExtendDeletion", json!(false), "false"),
        ("Exclusions", json!({}), "an object"),
    ] {
        let expected = format!(
            "PolicyDetails.{name}: found {found}, allowed nothing: only default policies \
             (PolicyLanguage SIMPLIFIED) have it"
        );
        assert_eq!(problems(&changed(&[(&format!("/{name}"), Some(value))])), [expected]);
    }
}

#[test]
fn fields_of_event_policies_are_refused_in_custom_ones() {
    for (name, value, found) in [
        ("EventSource", json!({"Type": "MANAGED_CWE"}), "an object"),
        ("Actions", json!([1]), "a list of 1"),
    ] {
        let expected = format!(
            "PolicyDetails.{name}: found {found}, allowed nothing: only event-based policies have \
             it"
        );
        assert_eq!(problems(&changed(&[(&format!("/{name}"), Some(value))])), [expected]);
    }
}

#[test]
fn rules_of_other_kinds_of_policy_are_refused_by_name() {
    let rows = [
        (
            "DeprecateRule",
            json!({"Count": 1}),
            "an object, allowed nothing: only AMI policies have it",
        ),
        (
            "ArchiveRule",
            json!({"RetainRule": {}}),
            "an object, allowed nothing: DLM archives only for policies that target volumes; keep \
             sets longer with RetainRule, or archive with EC2's ModifySnapshotTier",
        ),
    ];
    for (name, value, rest) in rows {
        let found = problems(&changed(&[(&format!("/Schedules/1/{name}"), Some(value))]));
        assert_eq!(found, [format!("PolicyDetails.Schedules[1].{name}: found {rest}")]);
    }
}

#[test]
fn an_empty_list_of_rules_asks_for_nothing() {
    for name in ["CrossRegionCopyRules", "ShareRules"] {
        let path = format!("/Schedules/0/{name}");
        assert_eq!(problems(&changed(&[(&path, Some(json!([])))])), [""; 0]);
    }
}
