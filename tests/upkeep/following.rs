//! Copies, fast restore and sharing: what is owed to the sets that there are.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_policy::{Policy, parse};
use stillpoint_upkeep::lifecycle::decide::{Act, Seen, owed};
use stillpoint_upkeep::outside::Snapshot;
use stillpoint_wire::{tags, time};

const HOUR: u64 = 60 * 60 * 1_000;
const NOW: u64 = 1_767_225_600_000;
const TARGET: &str = "eu-west-1";

fn policy(rules: &str) -> Vec<Policy> {
    let json = format!(
        r#"{{"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
            "TargetTags": [{{"Key": "backup", "Value": "yes"}}],
            "Schedules": [{{"Name": "Nightly", "CreateRule": {{"CronExpression": "cron(0 3 * * ? *)"}},
                            "RetainRule": {{"Count": 7}}, {rules}}}]}}"#
    );
    vec![parse("p1", &json).expect("a policy")]
}

const COPY: &str = r#""CrossRegionCopyRules": [{"Target": "eu-west-1", "Encrypted": true,
    "CmkArn": "arn:aws:kms:eu-west-1:111122223333:key/k1", "CopyTags": true,
    "RetainRule": {"Interval": 3, "IntervalUnit": "DAYS"}}]"#;
const SHARE: &str = r#""ShareRules": [{"TargetAccounts": ["111122223333", "444455556666"],
    "UnshareInterval": 2, "UnshareIntervalUnit": "DAYS"}]"#;
const FAST: &str =
    r#""FastRestoreRule": {"Count": 1, "AvailabilityZones": ["us-east-1a", "us-east-1b"]}"#;

fn set(number: u64, volumes: &[&str]) -> Vec<Snapshot> {
    let run = format!("run-{number}");
    let snapshot = |volume: &&str| Snapshot {
        snapshot_id: format!("snap-{number}-{volume}"),
        volume_id: (*volume).to_owned(),
        started_ms: NOW - number * HOUR,
        state: "completed".into(),
        description: format!("stillpoint p1 {run}"),
        tags: [
            (tags::RUN_ID, run.as_str()),
            (tags::POLICY_ID, "p1"),
            (tags::SCHEDULE_NAME, "Nightly"),
            (tags::INSTANCE_ID, "i-1"),
            (tags::DEVICE, "/dev/sdf"),
            (tags::SET_SIZE, &volumes.len().to_string()),
            ("owner", "dba"),
            ("aws:something", "x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..Snapshot::default()
    };
    volumes.iter().map(snapshot).collect()
}

fn seen(snapshots: Vec<Snapshot>) -> Seen {
    let copies = BTreeMap::from([(TARGET.to_owned(), vec![])]);
    Seen { snapshots, copies, fast: BTreeMap::new() }
}

fn acts(seen: &Seen, rules: &str) -> Vec<Act> {
    owed(seen, &policy(rules), NOW).into_iter().map(|(_, act)| act).collect()
}

#[test]
fn each_snapshot_of_a_complete_set_is_copied_once() {
    let mut seen = seen(set(1, &["vol-a", "vol-b"]));
    let first = acts(&seen, COPY);
    assert_eq!(first.len(), 2);
    let Act::Copy(copy) = &first[0] else { panic!("{first:?}") };
    assert_eq!((copy.region.as_str(), copy.encrypted), (TARGET, true));
    assert_eq!(copy.kms_key_id.as_deref(), Some("arn:aws:kms:eu-west-1:111122223333:key/k1"));
    assert_eq!(copy.tags[tags::COPY_OF], "snap-1-vol-a");
    assert_eq!(copy.tags[tags::VOLUME_ID], "vol-a");
    assert_eq!(copy.tags[tags::EXPIRES_AT], time::rfc3339(NOW + 72 * HOUR), "its own retention");
    assert_eq!(copy.tags["owner"], "dba", "CopyTags");
    assert!(!copy.tags.contains_key("aws:something"));
    assert!(copy.description.ends_with(" run-1"), "the proof that it is ours");
    // As it is shown once the copy is begun; one that failed is made again.
    let shown = |state: &str| Snapshot {
        snapshot_id: "snap-copy".into(),
        state: state.into(),
        tags: copy.tags.clone(),
        ..Snapshot::default()
    };
    seen.copies.insert(TARGET.into(), vec![shown("pending")]);
    assert_eq!(acts(&seen, COPY).len(), 1);
    seen.copies.insert(TARGET.into(), vec![shown("error")]);
    assert_eq!(acts(&seen, COPY).len(), 2);
}

#[test]
fn at_most_twenty_copies_are_in_flight_into_a_region() {
    let volumes: Vec<String> = (0..30).map(|n| format!("vol-{n}")).collect();
    let names: Vec<&str> = volumes.iter().map(String::as_str).collect();
    let mut seen = seen(set(1, &names));
    assert_eq!(acts(&seen, COPY).len(), 20);
    let other = set(2, &["vol-x"]).remove(0);
    let mut copy = Snapshot { state: "pending".into(), ..other };
    copy.tags.insert(tags::COPY_OF.into(), "snap-other".into());
    seen.copies.insert(TARGET.into(), vec![copy; 15]);
    assert_eq!(acts(&seen, COPY).len(), 5);
}

#[test]
fn what_is_not_complete_or_too_old_or_going_is_left_alone() {
    let none = |change: &dyn Fn(&mut Vec<Snapshot>)| {
        let mut snapshots = set(1, &["vol-a", "vol-b"]);
        change(&mut snapshots);
        for rules in [COPY, SHARE, FAST] {
            assert_eq!(acts(&seen(snapshots.clone()), rules), [], "{rules}");
        }
    };
    none(&|all| all[0].state = "pending".into());
    none(&|all| drop(all.pop()));
    none(&|all| all[0].description = "by hand".into());
    none(&|all| {
        all[1].tags.insert(tags::DELETE_AFTER.into(), time::rfc3339(NOW));
    });
    // Tried for a day, as DLM does. Fast restore is for the newest, however old it is.
    let old = seen(set(25, &["vol-a"]));
    assert_eq!(acts(&old, COPY), []);
    assert_eq!(acts(&old, SHARE), []);
    assert_eq!(acts(&old, FAST).len(), 1);
}

#[test]
fn fast_restore_moves_to_the_newest_set_and_only_ours_is_turned_off() {
    let mut snapshots = set(1, &["vol-a"]);
    snapshots.extend(set(2, &["vol-a"]));
    snapshots.extend(set(3, &["vol-a"]));
    snapshots[1].tags.insert(tags::FAST_RESTORE.into(), "us-east-1a,us-east-1b".into());
    let mut seen = seen(snapshots);
    let both = BTreeSet::from(["us-east-1a".to_owned(), "us-east-1b".to_owned()]);
    seen.fast.insert("snap-2-vol-a".into(), both.clone());
    // Turned on by somebody else.
    seen.fast.insert("snap-3-vol-a".into(), both);
    seen.fast.insert("snap-1-vol-a".into(), ["us-east-1a".to_owned()].into());
    let zones = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        acts(&seen, FAST),
        [
            Act::DisableFastRestore {
                snapshot_id: "snap-2-vol-a".into(),
                zones: zones(&["us-east-1a", "us-east-1b"]),
            },
            Act::EnableFastRestore {
                snapshot_id: "snap-1-vol-a".into(),
                zones: zones(&["us-east-1b"]),
                ours: zones(&["us-east-1b"]),
            },
        ]
    );
}

#[test]
fn a_zone_that_is_added_later_makes_the_others_no_less_ours() {
    let mut seen = seen(set(1, &["vol-a"]));
    seen.snapshots[0].tags.insert(tags::FAST_RESTORE.into(), "us-east-1a".into());
    seen.fast.insert("snap-1-vol-a".into(), BTreeSet::from(["us-east-1a".to_owned()]));
    let [Act::EnableFastRestore { zones, ours, .. }] = &acts(&seen, FAST)[..] else {
        panic!("one act")
    };
    assert_eq!(zones, &["us-east-1b"]);
    assert_eq!(ours, &["us-east-1a", "us-east-1b"], "turned off again, one day, in both");
}

#[test]
fn a_set_is_shared_once_and_for_its_time() {
    let mut seen = seen(set(1, &["vol-a"]));
    let accounts = vec!["111122223333".to_owned(), "444455556666".to_owned()];
    assert_eq!(
        acts(&seen, SHARE),
        [Act::Share {
            snapshot_id: "snap-1-vol-a".into(),
            accounts: accounts.clone(),
            unshare_at_ms: Some(NOW - HOUR + 48 * HOUR),
        }]
    );
    let mut tag = |state: &str, until: u64| {
        let text = format!("{state} {} {}", time::rfc3339(until), accounts.join(" "));
        seen.snapshots[0].tags.insert(tags::SHARED.into(), text);
        seen.clone()
    };
    assert_eq!(acts(&tag("begun", NOW + 1), SHARE).len(), 1, "perhaps it was not done");
    assert_eq!(acts(&tag("shared", NOW + 1), SHARE), []);
    let due = tag("shared", NOW);
    let ended = tag("ended", NOW);
    let unshare = Act::Unshare { snapshot_id: "snap-1-vol-a".into(), accounts };
    // Also when the policy does not exist any more.
    assert_eq!(owed(&due, &[], NOW), [("p1".to_owned(), unshare)]);
    assert_eq!(acts(&ended, SHARE), []);
}
