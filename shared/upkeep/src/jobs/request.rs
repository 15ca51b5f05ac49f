//! What a person, a schedule or the console's Test tab asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A restore or a drill; which set, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Request {
    /// The set of this run.
    pub run_id: Option<String>,
    /// Or the newest set of this instance,
    pub instance_id: Option<String>,
    /// not newer than this (RFC 3339),
    pub before: Option<String>,
    /// and proven to be application-consistent.
    pub require_application: bool,
    /// Or, for a drill, the newest set of that instance of the policy which was not drilled for
    /// the longest time.
    pub policy_id: Option<String>,
    /// Or the way back of this restore.
    pub undo: Option<String>,
    /// What the set becomes.
    pub into: Becomes,
    /// The Availability Zone of volumes.
    pub zone: String,
    /// The instance whose volumes are replaced; the set's own if none is named.
    pub target_instance_id: Option<String>,
    /// The instance that a drill is carried out on.
    pub host_instance_id: String,
    /// The drill's document.
    pub document: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout_seconds: Option<u32>,
    /// Only these devices of the set.
    pub devices: Vec<String>,
    /// `gp3`, `io2`, ...
    pub volume_type: Option<String>,
    /// Of the volumes.
    pub iops: Option<u32>,
    /// Of the volumes, in MiB/s.
    pub throughput: Option<u32>,
    /// Encrypt the volumes.
    pub encrypted: Option<bool>,
    /// With this key.
    pub kms_key_id: Option<String>,
    /// Of a new instance; the source's own where nothing is said.
    pub image_id: Option<String>,
    /// Of a new instance.
    pub instance_type: Option<String>,
    /// Of a new instance.
    pub subnet_id: Option<String>,
    /// Of a new instance.
    pub security_group_ids: Vec<String>,
    /// Of a new instance.
    pub key_name: Option<String>,
    /// Only plan.
    pub dry_run: bool,
}

/// What a set becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Becomes {
    /// Volumes.
    #[default]
    Volumes,
    /// The volumes of an instance that exists.
    Instance,
    /// A new instance.
    NewInstance,
    /// A drill.
    Drill,
}
