//! Plans of random worlds: nothing is lost and nothing is in two places.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use stillpoint_policy::{Attached, Firing, Instance, Inventory, Managed, Plan, Platform, plan};

use super::world::scheduled;
use super::{changed, config, policy};

fn few_tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    let keys = prop::sample::select(vec!["Backup", "Tier", "scratch", "other"]);
    let values = prop::sample::select(vec!["yes", "no", "db", "true"]);
    prop::collection::btree_map(keys, values, 0..4)
        .prop_map(|tags| tags.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
}

fn volumes() -> impl Strategy<Value = Vec<Attached>> {
    prop::collection::btree_map(0u32..60, (few_tags(), 1u32..100), 0..50).prop_map(|volumes| {
        let one = |(n, (tags, size_gib)): (u32, (BTreeMap<String, String>, u32))| Attached {
            volume_id: format!("vol-{n}"),
            device: format!("/dev/sd{n}"),
            size_gib,
            tags,
        };
        volumes.into_iter().map(one).collect()
    })
}

fn instances() -> impl Strategy<Value = Instance> {
    let states = vec![
        "running",
        "running",
        "stopped",
        "stopping",
        "pending",
        "shutting-down",
        "terminated",
        "",
    ];
    let managed = prop_oneof![
        Just(Managed::NotManaged),
        Just(Managed::Lost { ping_status: "Inactive".into() }),
        Just(Managed::Online { agent_version: "3.3".into() }),
    ];
    (0u32..20, prop::sample::select(states), any::<bool>(), few_tags(), volumes(), managed)
        .prop_map(|(n, state, windows, tags, volumes, managed)| Instance {
            launched_ms: None,
            backed_up_ms: None,
            id: format!("i-{n}"),
            state: state.into(),
            platform: if windows { Platform::Windows } else { Platform::Linux },
            instance_type: "t3.micro".into(),
            vss_components: stillpoint_policy::Components::Unknown,
            tags,
            root_device: "/dev/sd0".into(),
            volumes,
            managed,
        })
}

fn unique(ids: Vec<&str>) -> BTreeSet<&str> {
    let set: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(set.len(), ids.len(), "an id stands twice: {ids:?}");
    set
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn every_target_and_every_volume_is_in_exactly_one_place(
        instances in prop::collection::vec(instances(), 0..12),
        asked in prop::option::of(prop::collection::vec(0u32..25, 0..6)),
        exclude_boot in any::<bool>(),
        disabled in any::<bool>(),
    ) {
        let details = changed(&[("/Parameters/ExcludeBootVolume", Some(json!(exclude_boot)))]);
        let state = if disabled { "DISABLED" } else { "ENABLED" };
        let policy = policy(&json!({"State": state, "PolicyDetails": details}));
        let asked: Option<Vec<String>> =
            asked.map(|ids| ids.iter().map(|n| format!("i-{n}")).collect());
        let firing = Firing { instance_ids: asked.clone(), ..scheduled() };
        let inventory = Inventory { instances };
        let plan: Plan = plan(&policy, &firing, &inventory).expect("a plan");

        let runs = unique(plan.runs.iter().map(|run| run.instance_id.as_str()).collect());
        let left = unique(plan.left_out.iter().map(|left| left.instance_id.as_str()).collect());
        prop_assert!(runs.is_disjoint(&left));
        prop_assert!(!disabled || runs.is_empty());
        prop_assert!(plan.left_out.iter().all(|left| !left.reason.is_empty()));

        // What is seen last of an instance is what counts, as in the plan.
        let known: BTreeMap<&str, &Instance> =
            inventory.instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
        let has = |instance: &Instance, key: &str, value: &str| {
            instance.tags.get(key).is_some_and(|found| found == value)
        };
        let targeted = |instance: &Instance| {
            has(instance, "Backup", "yes") || has(instance, "Tier", "db")
        };
        let wanted: BTreeSet<&str> = match &asked {
            Some(ids) => ids.iter().map(String::as_str).collect(),
            None => known.values().filter(|i| targeted(i)).map(|i| i.id.as_str()).collect(),
        };
        prop_assert_eq!(&runs | &left, wanted);

        for run in &plan.runs {
            let instance = known[run.instance_id.as_str()];
            prop_assert!(targeted(instance));
            prop_assert!(["running", "stopped", "stopping"].contains(&instance.state.as_str()));
            let inside = unique(run.volumes.iter().map(|v| v.volume_id.as_str()).collect());
            let outside =
                unique(run.left_out_volumes.iter().map(|v| v.volume_id.as_str()).collect());
            prop_assert!(inside.is_disjoint(&outside));
            prop_assert!(!inside.is_empty());
            let attached: BTreeSet<&str> =
                instance.volumes.iter().map(|v| v.volume_id.as_str()).collect();
            prop_assert_eq!(&inside | &outside, attached);
            prop_assert!(run.exclude_data_volume_ids.len() <= 40);
            prop_assert!(run.exclude_data_volume_ids.iter().all(|id| outside.contains(id.as_str())));
            prop_assert!(!run.exclude_data_volume_ids.contains(&"vol-0".to_owned()));
            let boot_out = outside.contains("vol-0");
            let data_out = outside.len() - usize::from(boot_out);
            prop_assert_eq!(run.exclude_data_volume_ids.len(), data_out);
            prop_assert_eq!(boot_out, exclude_boot && instance.volumes.iter().any(|v| v.volume_id == "vol-0"));
            let script = run.script.as_ref().expect("a script");
            let can_run = instance.state == "running"
                && matches!(instance.managed, Managed::Online { .. });
            prop_assert_eq!(script.skip.is_none(), can_run);
        }
    }
}
