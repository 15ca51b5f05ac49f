//! Which volumes are in a set.

use serde_json::{Value, json};
use stillpoint_policy::{Instance, Inventory, Plan, PlannedRun, plan};

use super::world::{instance, reasons, scheduled, volume};
use super::{changed, policy};

fn with(parameters: Value, instance: Instance) -> Plan {
    let policy = policy(&changed(&[("/Parameters", Some(parameters))]));
    plan(&policy, &scheduled(), &Inventory { instances: vec![instance] }).expect("a plan")
}

fn ids(run: &PlannedRun) -> Vec<(&str, bool)> {
    run.volumes.iter().map(|volume| (volume.volume_id.as_str(), volume.boot)).collect()
}

fn left(run: &PlannedRun) -> Vec<(&str, &str)> {
    let left = run.left_out_volumes.iter();
    left.map(|volume| (volume.volume_id.as_str(), volume.reason.as_str())).collect()
}

fn three_volumes() -> Instance {
    let mut instance = instance("i-1");
    instance.volumes = vec![
        volume("vol-b", "/dev/xvda", &[("scratch", "true")]),
        volume("vol-d", "/dev/sdf", &[("scratch", "false")]),
        volume("vol-s", "/dev/sdg", &[("scratch", "true"), ("Name", "tmp")]),
    ];
    instance
}

const SCRATCH: &str = r#"[{"Key": "scratch", "Value": "true"}, {"Key": "cache", "Value": "1"}]"#;

fn scratch() -> Value {
    serde_json::from_str(SCRATCH).expect("tags")
}

#[test]
fn all_volumes_are_in_without_exclusions() {
    let plan = with(json!({}), three_volumes());
    let run = &plan.runs[0];
    assert_eq!(ids(run), [("vol-b", true), ("vol-d", false), ("vol-s", false)]);
    assert_eq!(left(run), []);
    assert!(!run.exclude_boot_volume && run.exclude_data_volume_ids.is_empty());
    assert_eq!((run.volumes[0].device.as_str(), run.volumes[0].size_gib), ("/dev/xvda", 8));
}

#[test]
fn the_boot_volume_is_left_out_when_asked() {
    let plan = with(json!({"ExcludeBootVolume": true}), three_volumes());
    let run = &plan.runs[0];
    assert_eq!(ids(run), [("vol-d", false), ("vol-s", false)]);
    assert_eq!(left(run), [("vol-b", "boot volume (ExcludeBootVolume)")]);
    assert!(run.exclude_boot_volume && run.exclude_data_volume_ids.is_empty());
}

#[test]
fn tags_leave_out_data_volumes_and_never_the_boot_volume() {
    let plan = with(json!({"ExcludeDataVolumeTags": scratch()}), three_volumes());
    let run = &plan.runs[0];
    assert_eq!(ids(run), [("vol-b", true), ("vol-d", false)]);
    assert_eq!(left(run), [("vol-s", "tag scratch=true (ExcludeDataVolumeTags)")]);
    assert_eq!(run.exclude_data_volume_ids, ["vol-s"]);
}

#[test]
fn both_exclusions_go_together_and_the_boot_volume_is_not_named_as_data() {
    let parameters = json!({"ExcludeBootVolume": true, "ExcludeDataVolumeTags": scratch()});
    let plan = with(parameters, three_volumes());
    assert_eq!(ids(&plan.runs[0]), [("vol-d", false)]);
    assert_eq!(plan.runs[0].left_out_volumes.len(), 2);
    assert_eq!(plan.runs[0].exclude_data_volume_ids, ["vol-s"]);
}

#[test]
fn an_instance_with_nothing_in_the_set_is_left_out() {
    let mut bare = instance("i-1");
    bare.volumes.clear();
    let plan = with(json!({}), bare);
    assert_eq!(reasons(&plan.left_out), [("i-1", "no EBS volume is attached to it")]);
    let mut all = three_volumes();
    all.volumes.remove(1);
    let parameters = json!({"ExcludeBootVolume": true, "ExcludeDataVolumeTags": scratch()});
    assert_eq!(
        reasons(&with(parameters, all).left_out),
        [("i-1", "every volume is left out by ExcludeBootVolume and ExcludeDataVolumeTags")]
    );
}

fn many(kept: usize, scratched: usize) -> Instance {
    let mut instance = instance("i-1");
    let one =
        |n: usize, tag: &[(&str, &str)]| volume(&format!("vol-{n}"), &format!("/dev/sd{n}"), tag);
    instance.volumes = (0..kept).map(|n| one(n, &[])).collect();
    instance.volumes.extend((kept..kept + scratched).map(|n| one(n, &[("scratch", "true")])));
    instance
}

#[test]
fn create_snapshots_excludes_at_most_40_data_volumes() {
    let parameters = json!({"ExcludeDataVolumeTags": scratch()});
    let most = with(parameters.clone(), many(1, 40));
    assert_eq!(most.runs[0].exclude_data_volume_ids.len(), 40);
    let more = with(parameters, many(1, 41));
    assert_eq!(
        reasons(&more.left_out),
        [(
            "i-1",
            "41 data volumes are left out by ExcludeDataVolumeTags; CreateSnapshots takes at \
                  most 40"
        )]
    );
}

#[test]
fn create_snapshots_makes_at_most_128_snapshots() {
    assert_eq!(with(json!({}), many(128, 0)).runs[0].volumes.len(), 128);
    assert_eq!(
        reasons(&with(json!({}), many(129, 0)).left_out),
        [("i-1", "129 volumes are in the set; CreateSnapshots takes at most 128")]
    );
}

#[test]
fn a_boot_volume_that_is_not_there_is_said() {
    let mut instance = three_volumes();
    instance.root_device = "/dev/sda1".into();
    let plan = with(json!({"ExcludeBootVolume": true}), instance);
    assert_eq!(plan.runs[0].volumes.len(), 3);
    assert_eq!(
        plan.warnings,
        ["i-1: no EBS volume is attached as its root device /dev/sda1, so there is none for \
          ExcludeBootVolume to leave out"]
    );
}
