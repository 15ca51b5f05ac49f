//! What comes out: one decision a set.

use std::fmt;

use serde::Serialize;

use crate::reason::{Flaw, Reason};

/// What is to be done, set by set, from the newest to the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Every set of the inventory, each once.
    pub decisions: Vec<Decision>,
}

/// What is to be done with one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The run that made it.
    pub set_id: String,
    /// Its policy.
    pub policy_id: String,
    /// Its schedules.
    pub schedules: Vec<String>,
    /// Its instance.
    pub instance_id: String,
    /// Whether it is a copy.
    pub copy: bool,
    /// When it was made, in ms since the epoch.
    pub started_ms: u64,
    /// All snapshots of it that exist.
    pub snapshot_ids: Vec<String>,
    /// Why it is not a good set; none if it is, or if no rule says what good is.
    pub flaw: Option<Flaw>,
    /// What is to be done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What is to be done with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
pub enum Action {
    /// Nothing: it stays.
    Keep,
    /// Take its mark off: it stays.
    Unmark,
    /// Mark it: it goes, but not yet.
    Mark {
        /// The time to mark it with, in ms since the epoch.
        delete_after_ms: u64,
    },
    /// Nothing: it is marked, and its grace is not over.
    Wait {
        /// When it is, in ms since the epoch.
        delete_after_ms: u64,
    },
    /// Delete all of it now.
    Delete,
}

impl Decision {
    /// Whether it is on its way out.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self.action, Action::Mark { .. } | Action::Wait { .. } | Action::Delete)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Keep => "keep",
            Action::Unmark => "unmark",
            Action::Mark { .. } => "mark",
            Action::Wait { .. } => "wait",
            Action::Delete => "delete",
        })
    }
}
