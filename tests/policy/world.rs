//! Small inventories for plans, built field by field.

use std::collections::BTreeMap;

use stillpoint_policy::{
    Attached, Components, Firing, Instance, Inventory, LeftOutInstance, Managed, Plan, Platform,
    plan,
};

use super::{base, policy};

pub(crate) const NOMINAL: &str = "2026-03-10T03:00:00Z";

pub(crate) fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

pub(crate) fn volume(id: &str, device: &str, pairs: &[(&str, &str)]) -> Attached {
    Attached { volume_id: id.into(), device: device.into(), size_gib: 8, tags: tags(pairs) }
}

/// A running, managed Linux target with a boot volume and a data volume.
pub(crate) fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        state: "running".into(),
        platform: Platform::Linux,
        instance_type: "m7g.large".into(),
        tags: tags(&[("Backup", "yes")]),
        root_device: "/dev/xvda".into(),
        volumes: vec![
            volume("vol-0", "/dev/xvda", &[]),
            volume("vol-1", "/dev/sdf", &[("Name", "data")]),
        ],
        managed: Managed::Online { agent_version: "3.3.1".into() },
        vss_components: Components::Unknown,
        launched_ms: None,
        backed_up_ms: None,
    }
}

pub(crate) fn scheduled() -> Firing {
    Firing {
        schedule: None,
        nominal: NOMINAL.into(),
        fired_at: "2026-03-10T03:00:07Z".parse().expect("a time"),
        instance_ids: None,
    }
}

pub(crate) fn planned(instances: Vec<Instance>) -> Plan {
    plan(&policy(&base()), &scheduled(), &Inventory { instances }).expect("a plan")
}

pub(crate) fn reasons(left_out: &[LeftOutInstance]) -> Vec<(&str, &str)> {
    left_out.iter().map(|left| (left.instance_id.as_str(), left.reason.as_str())).collect()
}
