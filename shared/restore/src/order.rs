//! What is asked for, resolved: nothing of it is decided again later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Nobody comes back to a job for so long after its deadline only if nobody ever does.
const ABANDONED_MS: u64 = 60 * 60 * 1_000;
/// A call that was under way when its driver's time was over has long ended after this.
const LONGEST_CALL_MS: u64 = 30 * 60 * 1_000;

/// One restore or drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// `restore-...` or `drill-...`; what is made carries it as a tag.
    pub id: String,
    /// What becomes of the volumes.
    pub goal: Goal,
    /// The set that they are made of; empty where volumes are put back.
    pub set_id: String,
    /// The policy of that set.
    pub policy_id: String,
    /// One a volume.
    pub items: Vec<Item>,
    /// The Availability Zone that the volumes are made in; empty with a new instance, which
    /// brings its own.
    pub zone: String,
    /// How they are made.
    pub volumes: VolumeOptions,
    /// When a step that has not ended by then has failed, in ms since the epoch.
    pub deadline_ms: u64,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The device that it was in the set; tells the volumes of a job apart.
    pub device: String,
    /// The device that it becomes. Empty for a boot volume of a new instance, which is known when
    /// that exists.
    pub place: String,
    /// Where it comes from.
    pub source: Source,
    /// Its size in GiB.
    pub size_gib: u32,
    /// Whether it is the one to boot from.
    pub boot: bool,
}

/// Where a volume comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A new volume of this snapshot.
    Snapshot(String),
    /// This volume, which exists: the way back.
    Volume(String),
}

/// How volumes are made; EC2's own defaults where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeOptions {
    /// `gp3`, `io2`, ...
    pub volume_type: Option<String>,
    /// Where the type takes it.
    pub iops: Option<u32>,
    /// In MiB/s, where the type takes it.
    pub throughput: Option<u32>,
    /// Encrypt volumes of unencrypted snapshots.
    pub encrypted: Option<bool>,
    /// With this key.
    pub kms_key_id: Option<String>,
}

/// What becomes of the volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Goal {
    /// They are there.
    Volumes,
    /// They take the places of the volumes of an instance that is theirs.
    Instance {
        /// The instance.
        instance_id: String,
    },
    /// They are the volumes of a new instance.
    NewInstance {
        /// How it is launched.
        launch: Launch,
    },
    /// They are verified on an instance, and go away again.
    Drill {
        /// The instance that they are verified on.
        instance_id: String,
        /// The SSM document that verifies them.
        document: String,
        /// Its parameters, beside the devices.
        parameters: BTreeMap<String, String>,
        /// How long it may take, in seconds.
        timeout_secs: u32,
    },
}

/// How a new instance is launched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// `ami-...`; its root volume is replaced if the set has a boot volume.
    pub image_id: String,
    /// `m7i.large`, ...
    pub instance_type: String,
    /// `subnet-...`
    pub subnet_id: Option<String>,
    /// `sg-...`
    pub security_group_ids: Vec<String>,
    /// The key pair.
    pub key_name: Option<String>,
    /// The tag Name.
    pub name: String,
}

impl Order {
    /// The instance that is worked on, where it exists already.
    #[must_use]
    pub fn instance_id(&self) -> Option<&str> {
        match &self.goal {
            Goal::Instance { instance_id } | Goal::Drill { instance_id, .. } => Some(instance_id),
            Goal::Volumes | Goal::NewInstance { .. } => None,
        }
    }

    /// When what the job makes may be cleared away, should nobody ever come back to it. In ms
    /// since the epoch; it is marked with this from the moment that it is made.
    #[must_use]
    pub fn delete_after_ms(&self) -> u64 {
        self.deadline_ms.saturating_add(ABANDONED_MS)
    }

    /// Until when that mark may be taken off: a reaper that found it due must never meet a volume
    /// that somebody was told to be theirs.
    pub(crate) fn keep_by_ms(&self) -> u64 {
        self.delete_after_ms().saturating_sub(LONGEST_CALL_MS)
    }

    /// Whether it is a drill.
    #[must_use]
    pub fn is_drill(&self) -> bool {
        matches!(self.goal, Goal::Drill { .. })
    }
}
