//! What the planner saw in EC2 and Systems Manager, as far as a plan needs it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The instances that may be targets. To tell an id that does not exist from one that is not
/// targeted, instances that a firing names are put in whether or not their tags match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    pub instances: Vec<Instance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    pub id: String,
    /// EC2's name of the state: `running`, `stopped` and so on.
    pub state: String,
    pub platform: Platform,
    /// `m7g.large` and so on.
    #[serde(default)]
    pub instance_type: String,
    pub tags: BTreeMap<String, String>,
    /// RootDeviceName; the volume attached as this device is the boot volume.
    pub root_device: String,
    /// EBS volumes only.
    pub volumes: Vec<Attached>,
    pub managed: Managed,
    /// For VSS: what Systems Manager's inventory knows of AWS's VSS components.
    #[serde(default)]
    pub vss_components: Components,
    /// When it was launched, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched_ms: Option<u64>,
    /// For default policies: since when each of its volumes has a snapshot, by whatever means, in
    /// ms since the epoch; nothing where a volume has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backed_up_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Platform {
    Linux,
    Windows,
}

/// Software on an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Components {
    /// Nobody collects an inventory there.
    #[default]
    Unknown,
    Missing,
    /// Of this version.
    Installed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    pub volume_id: String,
    pub device: String,
    pub size_gib: u32,
    pub tags: BTreeMap<String, String>,
}

/// What Systems Manager knows of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Managed {
    Online { agent_version: String },
    Lost { ping_status: String },
    NotManaged,
}
