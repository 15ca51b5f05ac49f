//! What EC2 and Systems Manager show of a job, asked for before each step.

use std::collections::BTreeMap;

/// Everything that a step looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The instance of the job, if it has one by now and EC2 knows it.
    pub instance: Option<InstanceSeen>,
    /// The volumes of the job, new and old, by id.
    pub volumes: BTreeMap<String, VolumeSeen>,
    /// The verification, once it was sent.
    pub command: Option<CommandSeen>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceSeen {
    /// `i-...`
    pub instance_id: String,
    /// `running`, `stopped`, ...
    pub state: String,
    /// `us-east-1a`
    pub zone: String,
    /// What it boots from.
    pub root_device: String,
    /// Device and volume.
    pub attached: BTreeMap<String, String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSeen {
    /// `creating`, `available`, `in-use`, `error`, ...
    pub state: String,
    /// The instance that it is attached to, also while that begins or ends.
    pub instance_id: Option<String>,
    /// `attaching`, `attached`, `detaching`, `busy`.
    pub attachment: String,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandSeen {
    /// It runs, or will.
    Running,
    /// It ended.
    Ended {
        /// The document's exit code.
        exit_code: i32,
        /// Its last words.
        words: String,
    },
    /// It did not run, or nobody knows how it ended.
    Lost {
        /// Systems Manager's words.
        words: String,
    },
}
