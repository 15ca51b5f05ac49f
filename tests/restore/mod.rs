//! Restores and drills as a step machine: each goal reaches its end, also when the driver dies
//! after each act, when each act is refused, and when the time is over at each step.

mod choosing;
mod cloud;
mod ends;
mod kills;
mod refusals;
mod world;

use std::collections::BTreeMap;

use stillpoint_restore::{
    Goal, InstanceSeen, Launch, Order, SetSeen, SnapshotSeen, Target, VolumeOptions, Wanted, plan,
};

pub(crate) const DEADLINE_MS: u64 = 1_000_000;

pub(crate) fn set() -> SetSeen {
    let snapshot = |name: &str, device: &str| SnapshotSeen {
        snapshot_id: format!("snap-{name}"),
        completed: true,
        device: device.to_owned(),
        size_gib: 8,
        encrypted: false,
    };
    SetSeen {
        set_id: "run-1".into(),
        policy_id: "nightly".into(),
        instance_id: "i-source".into(),
        started_ms: 1_000,
        consistency: "application".into(),
        size: Some(3),
        drill_failed: false,
        snapshots: vec![
            snapshot("root", "/dev/xvda"),
            snapshot("data", "/dev/sdf"),
            snapshot("log", "/dev/sdg"),
        ],
    }
}

pub(crate) fn source() -> InstanceSeen {
    InstanceSeen {
        instance_id: "i-source".into(),
        state: "running".into(),
        zone: "us-east-1a".into(),
        root_device: "/dev/xvda".into(),
        attached: BTreeMap::from([
            ("/dev/xvda".into(), "vol-old-root".into()),
            ("/dev/sdf".into(), "vol-old-data".into()),
            ("/dev/sdg".into(), "vol-old-log".into()),
            ("/dev/sdh".into(), "vol-other".into()),
        ]),
    }
}

pub(crate) fn host() -> InstanceSeen {
    InstanceSeen {
        instance_id: "i-host".into(),
        state: "running".into(),
        zone: "us-east-1b".into(),
        root_device: "/dev/xvda".into(),
        attached: BTreeMap::from([
            ("/dev/xvda".into(), "vol-host-root".into()),
            ("/dev/xvdf".into(), "vol-host-data".into()),
        ]),
    }
}

pub(crate) fn targets() -> Vec<Target> {
    vec![
        Target::Volumes { zone: "us-east-1a".into() },
        Target::Instance(source()),
        Target::NewInstance(Launch {
            image_id: "ami-1".into(),
            instance_type: "m7i.large".into(),
            ..Launch::default()
        }),
        Target::Drill {
            host: host(),
            document: "Stillpoint-Drill".into(),
            parameters: BTreeMap::new(),
            timeout_secs: 600,
        },
    ]
}

pub(crate) fn wanted(target: Target) -> Wanted {
    Wanted {
        id: "job-1".into(),
        target,
        devices: vec![],
        volumes: VolumeOptions::default(),
        deadline_ms: DEADLINE_MS,
    }
}

pub(crate) fn order(target: Target) -> Order {
    plan(wanted(target), &set()).expect("a plan")
}

pub(crate) fn name(goal: &Goal) -> &'static str {
    match goal {
        Goal::Volumes => "volumes",
        Goal::Instance { .. } => "instance",
        Goal::NewInstance { .. } => "new instance",
        Goal::Drill { .. } => "drill",
    }
}
