//! Sets that DLM made, taken over.

use std::collections::BTreeMap;

use stillpoint_policy::parse;
use stillpoint_upkeep::adopt::{adopt, decide, plan};
use stillpoint_upkeep::observe;
use stillpoint_upkeep::outside::Snapshot;
use stillpoint_wire::tags;

use super::shelf::{Account, now};

const POLICY: &str = r#"{"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
    "TargetTags": [{"Key": "backup", "Value": "yes"}],
    "Schedules": [{"Name": "Nightly", "CreateRule": {"CronExpression": "cron(0 3 * * ? *)"},
                   "RetainRule": {"Interval": 7, "IntervalUnit": "DAYS"}}]}"#;

fn made_by_dlm(volume: &str, started_ms: u64, more: &[(&str, &str)]) -> Snapshot {
    let base = [
        (observe::DLM_POLICY, "policy-1"),
        ("aws:dlm:lifecycle-schedule-name", "Nightly"),
        ("aws:dlm:expirationTime", "2026-01-20T03:00:00.017Z"),
    ];
    Snapshot {
        snapshot_id: format!("snap-{volume}-{started_ms}"),
        volume_id: volume.into(),
        started_ms,
        state: "completed".into(),
        description: "Created for policy: policy-1 schedule: Nightly".into(),
        tags: base.iter().chain(more).map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..Snapshot::default()
    }
}

fn attached() -> BTreeMap<String, (String, String)> {
    [("vol-a", "i-1", "/dev/sdf"), ("vol-b", "i-1", "/dev/sdg"), ("vol-c", "i-2", "/dev/sdf")]
        .map(|(volume, instance, device)| (volume.into(), (instance.into(), device.into())))
        .into()
}

const SUCCESS: &[(&str, &str)] =
    &[("aws:dlm:pre-script", "SUCCESS"), ("aws:dlm:post-script", "SUCCESS")];

#[test]
fn snapshots_of_one_instance_and_time_are_one_set() {
    let found = [
        made_by_dlm("vol-a", 1_000, SUCCESS),
        made_by_dlm("vol-b", 1_000, SUCCESS),
        made_by_dlm("vol-c", 1_000, SUCCESS),
        made_by_dlm("vol-a", 2_000, &[]),
    ];
    let policy = parse("nightly", POLICY).unwrap();
    let adoption = decide(&found, &attached(), &policy);
    let shown: Vec<_> = adoption
        .sets
        .iter()
        .map(|set| (set.instance_id.as_str(), set.snapshots.len(), set.consistency))
        .collect();
    assert_eq!(shown, [("i-1", 2, "claimed"), ("i-2", 1, "claimed"), ("i-1", 1, "crash")]);
    let tags = &adoption.sets[0].snapshots["snap-vol-b-1000"];
    assert_eq!(tags[tags::DEVICE], "/dev/sdg");
    assert_eq!(tags[tags::EXPIRES_AT], "2026-01-20T03:00:00.017Z", "DLM's own expiry");
    assert_eq!(tags[tags::SET_SIZE], "2");
}

#[test]
fn what_cannot_be_taken_over_is_told() {
    let mut taken = made_by_dlm("vol-a", 1_000, SUCCESS);
    taken.tags.insert(tags::POLICY_ID.into(), "other".into());
    let mut renamed = made_by_dlm("vol-a", 2_000, SUCCESS);
    renamed.tags.insert("aws:dlm:lifecycle-schedule-name".into(), "Weekly".into());
    let found = [taken, renamed, made_by_dlm("vol-z", 3_000, SUCCESS)];
    let adoption = decide(&found, &attached(), &parse("nightly", POLICY).unwrap());
    let reasons: Vec<&str> = adoption.left_out.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "it belongs to policy other already",
            "nightly has no schedule \"Weekly\"",
            "vol-z is attached to no instance",
        ]
    );
}

#[test]
fn what_vss_says_of_every_snapshot_is_proof() {
    let of = |values: [&str; 2]| {
        let found = [
            made_by_dlm("vol-a", 1_000, &[("AppConsistent", values[0])]),
            made_by_dlm("vol-b", 1_000, &[("AppConsistent", values[1])]),
        ];
        decide(&found, &attached(), &parse("nightly", POLICY).unwrap()).sets[0].consistency
    };
    assert_eq!(of(["True", "true"]), "application");
    assert_eq!(of(["True", "False"]), "crash");
}

#[test]
fn an_adopted_set_is_ours_and_is_not_taken_over_twice() {
    let account = Account::default();
    account.with(|state| {
        state.attached = attached();
        state.snapshots = vec![made_by_dlm("vol-a", 1_000, SUCCESS)];
    });
    let policy = parse("nightly", POLICY).unwrap();
    let first = now(plan(&account, "policy-1", &policy)).unwrap();
    now(adopt(&account, &first, |_| {})).unwrap();
    let snapshot = account.with(|state| observe::snapshot(&state.snapshots[0])).expect("ours");
    assert!(snapshot.proven, "DLM's own tag is the proof");
    assert_eq!(snapshot.owned.policy_id, "nightly");
    let again = now(plan(&account, "policy-1", &policy)).unwrap();
    assert_eq!(again.sets.len(), 0);
}
