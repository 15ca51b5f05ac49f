//! PolicyDetails itself: targets, locations, parameters and the number of schedules.

use serde_json::{Value, json};

use super::{changed, check, policy, problems};

fn tags(count: usize) -> Value {
    (0..count).map(|n| json!({"Key": format!("k{n}"), "Value": "v"})).collect()
}

#[test]
fn resource_types_is_one_instance() {
    let path = "/ResourceTypes";
    let volume = "PolicyDetails.ResourceTypes[0]: found \"VOLUME\", allowed INSTANCE (nothing \
                  is made of single volumes here; tag the instances that the volumes are attached \
                  to, and narrow the sets with ExcludeBootVolume and ExcludeDataVolumeTags; DLM \
                  goes on with volumes that are not attached)";
    check(&[
        (path, json!(["INSTANCE"]), &[]),
        (path, json!(["VOLUME"]), &[volume]),
        (
            path,
            json!([]),
            &["PolicyDetails.ResourceTypes: found an empty list, allowed exactly 1 \
                             entry"],
        ),
        (
            path,
            json!(["INSTANCE", "VOLUME"]),
            &["PolicyDetails.ResourceTypes: found a list of 2, allowed exactly 1 entry"],
        ),
        (
            path,
            json!("INSTANCE"),
            &["PolicyDetails.ResourceTypes: found \"INSTANCE\", allowed a list of exactly 1 entry"],
        ),
        (
            path,
            json!(["instance"]),
            &["PolicyDetails.ResourceTypes[0]: found \"instance\", allowed INSTANCE or VOLUME"],
        ),
    ]);
    assert_eq!(
        problems(&changed(&[(path, None)])),
        ["PolicyDetails.ResourceTypes: found nothing, allowed [\"INSTANCE\"]"]
    );
}

#[test]
fn resource_locations_is_the_cloud_or_absent() {
    let path = "/ResourceLocations";
    let elsewhere = |found: &str| {
        format!(
            "PolicyDetails.ResourceLocations[0]: found \"{found}\", allowed CLOUD (sets are \
             made in the Region only; leave resources on Outposts and in Local Zones to DLM)"
        )
    };
    check(&[
        (path, json!(["CLOUD"]), &[]),
        (path, json!(["OUTPOST"]), &[&elsewhere("OUTPOST")]),
        (path, json!(["LOCAL_ZONE"]), &[&elsewhere("LOCAL_ZONE")]),
        (
            path,
            json!([]),
            &["PolicyDetails.ResourceLocations: found an empty list, allowed exactly 1 entry"],
        ),
        (
            path,
            json!(["MOON"]),
            &["PolicyDetails.ResourceLocations[0]: found \"MOON\", allowed CLOUD or OUTPOST or \
            LOCAL_ZONE"],
        ),
    ]);
}

#[test]
fn target_tags_are_one_to_fifty() {
    let path = "/TargetTags";
    check(&[
        (path, tags(1), &[]),
        (path, tags(50), &[]),
        (
            path,
            tags(51),
            &["PolicyDetails.TargetTags: found a list of 51, allowed 1 to 50 entries"],
        ),
        (
            path,
            json!([]),
            &["PolicyDetails.TargetTags: found an empty list, allowed 1 to 50 entries"],
        ),
        (
            path,
            json!({}),
            &["PolicyDetails.TargetTags: found an object, allowed a list of 1 to 50 entries"],
        ),
    ]);
    assert_eq!(
        problems(&changed(&[(path, None)])),
        ["PolicyDetails.TargetTags: found nothing, allowed 1 to 50 tags"]
    );
}

#[test]
fn a_policy_has_one_to_four_schedules() {
    let schedules = |count: usize| -> Value {
        let one = |n| {
            json!({"Name": format!("s{n}"), "RetainRule": {"Count": 1},
                   "CreateRule": {"CronExpression": "cron(0 3 * * ? *)"}})
        };
        (0..count).map(one).collect()
    };
    let path = "/Schedules";
    check(&[
        (path, schedules(1), &[]),
        (path, schedules(4), &[]),
        (
            path,
            schedules(5),
            &["PolicyDetails.Schedules: found a list of 5, allowed 1 to 4 entries"],
        ),
        (
            path,
            json!([]),
            &["PolicyDetails.Schedules: found an empty list, allowed 1 to 4 entries"],
        ),
        (path, json!([7]), &["PolicyDetails.Schedules[0]: found 7, allowed an object"]),
    ]);
    assert_eq!(
        problems(&changed(&[(path, None)])),
        ["PolicyDetails.Schedules: found nothing, allowed 1 to 4 schedules"]
    );
    assert_eq!(policy(&changed(&[(path, Some(schedules(4)))])).schedules.len(), 4);
}

#[test]
fn parameters_are_those_of_instance_snapshots() {
    let tags_path = "/Parameters/ExcludeDataVolumeTags";
    check(&[
        ("/Parameters", json!({}), &[]),
        ("/Parameters", json!({"ExcludeBootVolume": true}), &[]),
        (
            "/Parameters",
            json!({"NoReboot": true}),
            &["PolicyDetails.Parameters.NoReboot: found true, allowed nothing: only AMI policies \
            have it"],
        ),
        (
            "/Parameters",
            json!({"ExcludeBootVolumes": true}),
            &["PolicyDetails.Parameters.ExcludeBootVolumes: found an unknown field, allowed \
            ExcludeBootVolume, ExcludeDataVolumeTags, NoReboot"],
        ),
        (
            "/Parameters/ExcludeBootVolume",
            json!(1),
            &["PolicyDetails.Parameters.ExcludeBootVolume: found 1, allowed true or false"],
        ),
        (tags_path, json!([]), &[]),
        (tags_path, tags(50), &[]),
        (
            tags_path,
            tags(51),
            &[
                "PolicyDetails.Parameters.ExcludeDataVolumeTags: found a list of 51, allowed at most \
            50 entries",
            ],
        ),
    ]);
    let defaults = policy(&changed(&[("/Parameters", None)]));
    assert!(!defaults.exclude_boot_volume);
    assert_eq!(defaults.exclude_data_volume_tags, []);
}
