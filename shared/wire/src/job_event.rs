//! The events of restores and drills on the bus `stillpoint`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Asks for a restore or a drill that was planned; its detail has the order.
pub const RESTORE_REQUESTED: &str = "Restore Requested";
/// One a restore, with its outcome.
pub const RESTORE_FINISHED: &str = "Restore Finished";
/// One a drill, with its verdict.
pub const DRILL_FINISHED: &str = "Restore Drill Finished";

/// The detail of [`RESTORE_FINISHED`] and [`DRILL_FINISHED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFinished {
    /// [`crate::event::EVENT_VERSION`].
    pub version: u32,
    /// The restore or the drill.
    pub job_id: String,
    /// The run whose set it was about; empty for the way back.
    pub run_id: String,
    /// The policy of that set.
    pub policy_id: String,
    /// The instance that was worked on; empty if there was none.
    pub instance_id: String,
    /// `good`, `bad` (a drill found the set no good), `not-done`.
    pub verdict: String,
    /// Why not good; empty otherwise.
    pub reason: String,
    /// The volumes that were made, by the device in the set.
    pub volumes: BTreeMap<String, String>,
    /// The volumes whose places they took, by device.
    pub replaced: BTreeMap<String, String>,
    /// Volumes that a restore which failed could not put back, or a drill detach; also the
    /// instance if it could not be started again.
    pub not_put_back: Vec<String>,
    /// RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub ended_at: String,
}
