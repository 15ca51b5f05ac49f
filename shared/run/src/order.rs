//! What one run is asked to do. Made by the planner, carried by the event, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One instance, one firing of one schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The same for the same policy, schedule, nominal time and instance, so that
    /// duplicate firings and deliveries collapse.
    pub run_id: String,
    /// The policy that asks.
    pub policy_id: String,
    /// The schedule of that policy.
    pub schedule_name: String,
    /// The scheduled time (RFC 3339), or `on-demand:<request id>`.
    pub nominal_time: String,
    /// When it is too late to begin, in ms since the epoch: DLM begins within 60 minutes of
    /// the scheduled time, and a message may lie in a queue for days.
    pub start_before_ms: u64,
    /// The instance.
    pub instance_id: String,
    /// The volumes that go into the set, as planned.
    pub volumes: Vec<Volume>,
    /// The attached volumes that do not, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutVolume>,
    /// Passed to CreateSnapshots as it is.
    #[serde(default)]
    pub exclude_boot_volume: bool,
    /// Passed to CreateSnapshots as it is; EC2 takes 40 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_data_volume_ids: Vec<String>,
    /// Copy the volumes' own tags to their snapshots.
    #[serde(default)]
    pub copy_tags: bool,
    /// The policy's tags for the snapshots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The pre/post script, if the policy has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// A set that is not proven to be application-consistent is a failed run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_application: bool,
}

/// A volume that goes into the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// `vol-...`
    pub volume_id: String,
    /// The device name of the attachment, `/dev/sdf`.
    pub device: String,
    /// Whether it is the instance's root device.
    #[serde(default)]
    pub boot: bool,
    /// Its size in GiB.
    #[serde(default)]
    pub size_gib: u32,
}

/// A volume that stays out of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutVolume {
    /// `vol-...`
    pub volume_id: String,
    /// The device name of the attachment.
    pub device: String,
    /// Why.
    pub reason: String,
}

/// DLM's `CreateRule.Scripts[0]`, resolved to its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// The SSM document's name or ARN.
    pub document: String,
    /// What the document does.
    #[serde(default)]
    pub handler: Handler,
    /// Parameters for the document, beside those that every run gives it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Vec<String>>,
    /// `Stages` has PRE.
    pub pre: bool,
    /// `Stages` has POST.
    pub post: bool,
    /// `ExecutionTimeout`, for each stage by itself; of a VSS document, for the whole of it.
    pub timeout_secs: u32,
    /// `MaximumRetryCount`.
    pub retries: u32,
    /// `ExecuteOperationOnScriptFailure`: a crash-consistent set when all retries failed.
    pub fallback: bool,
    /// Why the planner knows already that no script can be run on this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
}

/// What a script's document does. DLM's ExecutionHandler, as far as it changes the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// It quiesces (pre-script) and releases (post-script); we make the set in between.
    #[default]
    PrePost,
    /// `AWS_VSS_BACKUP`: one command freezes, makes the set with the instance's own role,
    /// and releases. Windows itself ends a freeze after 10 s, so no thaw is owed.
    Vss,
}

impl Order {
    /// The script, if there is one that can be run.
    #[must_use]
    pub fn runnable_script(&self) -> Option<&Script> {
        self.script.as_ref().filter(|script| script.skip.is_none())
    }

    /// The device of a volume of the plan, and whether it is the root device.
    #[must_use]
    pub fn volume(&self, volume_id: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.volume_id == volume_id)
    }
}
