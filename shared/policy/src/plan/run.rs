//! One instance of a plan: its run, or the reason why it has none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Instance, script, snapshot_tags, volumes};
use crate::coincide::SetRules;
use crate::policy::{Handler, Policy};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    pub instance_id: String,
    pub volumes: Vec<PlannedVolume>,
    pub left_out_volumes: Vec<LeftOutVolume>,
    /// As CreateSnapshots takes them.
    pub exclude_boot_volume: bool,
    pub exclude_data_volume_ids: Vec<String>,
    /// Nothing where the policy has no script.
    pub script: Option<PlannedScript>,
    pub copy_tags: bool,
    /// TagsToAdd, and VariableTags with their values.
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVolume {
    pub volume_id: String,
    pub device: String,
    pub boot: bool,
    pub size_gib: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutVolume {
    pub volume_id: String,
    pub device: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedScript {
    pub document: String,
    pub handler: Handler,
    /// What the document is sent beside the parameters of every pre/post script.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Vec<String>>,
    pub pre: bool,
    pub post: bool,
    pub timeout_secs: u32,
    pub retries: u32,
    /// Whether a crash-consistent set is wanted when the pre-script fails.
    pub fallback: bool,
    /// Why the script cannot run on this instance, where it is known beforehand.
    pub skip: Option<String>,
}

/// What a state means for a run.
enum Readiness {
    Running,
    /// The volumes can be had, the instance cannot be asked for anything.
    Down,
}

pub(super) fn plan_one(
    policy: &Policy,
    rules: &SetRules,
    time: Timestamp,
    instance: &Instance,
    warnings: &mut Vec<String>,
) -> Result<PlannedRun, String> {
    if !policy.enabled() {
        return Err(format!("the policy's State is {}", policy.state.name()));
    }
    let running = matches!(readiness(&instance.state)?, Readiness::Running);
    let (planned, left_out_volumes) = volumes::choose(policy, rules, instance)?;
    if policy.exclude_boot_volume
        && !instance.volumes.iter().any(|volume| volumes::is_boot(instance, volume))
    {
        warnings.push(format!(
            "{}: no EBS volume is attached as its root device {}, so there is none for \
             ExcludeBootVolume to leave out",
            instance.id, instance.root_device
        ));
    }
    let tags = snapshot_tags::choose(rules, time, instance, &planned, warnings);
    Ok(PlannedRun {
        instance_id: instance.id.clone(),
        exclude_boot_volume: policy.exclude_boot_volume,
        exclude_data_volume_ids: volumes::data_volume_ids(instance, &left_out_volumes),
        script: script::choose(policy, rules, instance, running, &planned, warnings),
        volumes: planned,
        left_out_volumes,
        copy_tags: tags.copy,
        tags: tags.own,
    })
}

fn readiness(state: &str) -> Result<Readiness, String> {
    match state {
        "running" => Ok(Readiness::Running),
        "stopped" | "stopping" => Ok(Readiness::Down),
        "pending" | "shutting-down" | "terminated" => Err(format!("the instance is {state}")),
        other => Err(format!("the instance is in a state that is not known: {other}")),
    }
}
