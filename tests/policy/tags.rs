//! Tags: those that select, and those that snapshots get.

use serde_json::{Value, json};
use stillpoint_policy::Variable;

use super::{base, check, policy, problems};

const TARGETS: &str = "/TargetTags";
const ADDED: &str = "/Schedules/0/TagsToAdd";
const VARIABLE: &str = "/Schedules/0/VariableTags";

fn added(count: usize) -> Value {
    (0..count).map(|n| json!({"Key": format!("k{n}"), "Value": "v"})).collect()
}

fn variable(count: usize) -> Value {
    (0..count).map(|n| json!({"Key": format!("v{n}"), "Value": "$(timestamp)"})).collect()
}

#[test]
fn a_tag_has_a_key_and_a_value_within_the_limits_of_ec2() {
    let tag = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    let (long, longer) = ("k".repeat(128), "k".repeat(129));
    let shown = format!("\"{}\"... (129 characters)", "k".repeat(80));
    let too_long =
        format!("PolicyDetails.TargetTags[0].Key: found {shown}, allowed 1 to 128 characters");
    let value_shown = format!("\"{}\"... (257 characters)", "v".repeat(80));
    let value_too_long = format!(
        "PolicyDetails.TargetTags[0].Value: found {value_shown}, allowed 0 to 256 characters"
    );
    check(&[
        (TARGETS, tag(&long, &"v".repeat(256)), &[]),
        (TARGETS, tag(&"\u{e9}".repeat(128), ""), &[]),
        (TARGETS, tag(&longer, ""), &[&too_long]),
        (TARGETS, tag("k", &"v".repeat(257)), &[&value_too_long]),
        (
            TARGETS,
            tag("", "v"),
            &["PolicyDetails.TargetTags[0].Key: found \"\", allowed 1 to 128 characters"],
        ),
        (
            TARGETS,
            tag("a=b", "v"),
            &["PolicyDetails.TargetTags[0].Key: found \"a=b\", allowed a key without \\ and ="],
        ),
        (
            TARGETS,
            tag("a\\b", "v"),
            &["PolicyDetails.TargetTags[0].Key: found \"a\\\\b\", allowed a key without \\ and ="],
        ),
        (
            TARGETS,
            json!([{"Key": "k"}]),
            &[
                "PolicyDetails.TargetTags[0].Value: found nothing, allowed a tag value, which may be \
            empty",
            ],
        ),
        (
            TARGETS,
            json!([{"Value": "v"}]),
            &["PolicyDetails.TargetTags[0].Key: found nothing, allowed a tag key"],
        ),
        (
            TARGETS,
            json!([{"Key": "k", "Value": true}]),
            &["PolicyDetails.TargetTags[0].Value: found true, allowed a string"],
        ),
        (
            TARGETS,
            json!([{"Key": "k", "Value": "v", "Values": []}]),
            &["PolicyDetails.TargetTags[0].Values: found an unknown field, allowed Key, Value"],
        ),
    ]);
}

#[test]
fn a_key_may_select_with_several_values_but_a_tag_stands_once() {
    check(&[
        (TARGETS, json!([{"Key": "k", "Value": "a"}, {"Key": "k", "Value": "b"}]), &[]),
        (TARGETS, json!([{"Key": "k", "Value": "a"}, {"Key": "K", "Value": "a"}]), &[]),
        (TARGETS, json!([{"Key": "aws:autoscaling:groupName", "Value": "a"}]), &[]),
        (
            TARGETS,
            json!([{"Key": "k", "Value": "a"}, {"Key": "k", "Value": "a"}]),
            &["PolicyDetails.TargetTags[1]: found \"k\"=\"a\" again, allowed each tag once"],
        ),
    ]);
}

#[test]
fn at_most_45_tags_are_added() {
    let mut both = base();
    both["Schedules"][0]["TagsToAdd"] = added(40);
    both["Schedules"][0]["VariableTags"] = variable(5);
    assert_eq!(problems(&both), [""; 0]);
    both["Schedules"][0]["VariableTags"] = variable(6);
    assert_eq!(
        problems(&both),
        ["PolicyDetails.Schedules[0].VariableTags: found 46 with TagsToAdd, allowed at most 45 \
          tags together"]
    );
    check(&[
        (ADDED, json!([]), &[]),
        (ADDED, added(44), &[]),
        (
            ADDED,
            added(46),
            &[
                "PolicyDetails.Schedules[0].TagsToAdd: found a list of 46, allowed at most 45 entries",
                "PolicyDetails.Schedules[0].VariableTags: found 46 with TagsToAdd, allowed at most 45 \
            tags together",
            ],
        ),
        (VARIABLE, variable(44), &[]),
        (VARIABLE, json!([]), &[]),
    ]);
}

#[test]
fn keys_on_a_snapshot_are_free_and_stand_once() {
    let tag = |key: &str| json!([{"Key": key, "Value": "v"}]);
    let reserved = |key: &str| {
        format!(
            "PolicyDetails.Schedules[0].TagsToAdd[0].Key: found \"{key}\", allowed a key that \
             does not start with aws: or stillpoint:"
        )
    };
    check(&[
        (ADDED, tag("awsome"), &[]),
        (ADDED, tag("aws:dlm:x"), &[&reserved("aws:dlm:x")]),
        (ADDED, tag("AWS:x"), &[&reserved("AWS:x")]),
        (ADDED, tag("stillpoint:run-id"), &[&reserved("stillpoint:run-id")]),
        (
            ADDED,
            tag("instance"),
            &["PolicyDetails.Schedules[0].VariableTags[0].Key: found \"instance\" again, allowed \
            each key once on a snapshot"],
        ),
        (
            ADDED,
            json!([{"Key": "k", "Value": "a"}, {"Key": "k", "Value": "b"}]),
            &[
                "PolicyDetails.Schedules[0].TagsToAdd[1].Key: found \"k\" again, allowed each key once \
            on a snapshot",
            ],
        ),
    ]);
}

#[test]
fn variable_tags_know_two_variables() {
    let tag = |value: &str| json!([{"Key": "k", "Value": value}]);
    check(&[
        (VARIABLE, tag("$(instance-id)"), &[]),
        (VARIABLE, tag("$(timestamp)"), &[]),
        (
            VARIABLE,
            tag("$(volume-id)"),
            &["PolicyDetails.Schedules[0].VariableTags[0].Value: found \"$(volume-id)\", allowed \
            $(instance-id) or $(timestamp)"],
        ),
        (
            VARIABLE,
            tag("on $(timestamp)"),
            &[
                "PolicyDetails.Schedules[0].VariableTags[0].Value: found \"on $(timestamp)\", allowed \
            $(instance-id) or $(timestamp)",
            ],
        ),
    ]);
    let variable = &policy(&base()).schedules[0].variable_tags[0];
    assert_eq!((variable.key.as_str(), variable.variable), ("instance", Variable::InstanceId));
}
