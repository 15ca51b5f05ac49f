//! The ledger's item: one a run, with what a query needs beside the run itself.

use serde::{Deserialize, Serialize};
use stillpoint_run::{Code, Consistency, Outcome, Phase, Run};

/// The version of the body.
pub const LEDGER_VERSION: u32 = 1;

/// The body of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBody {
    /// [`LEDGER_VERSION`].
    pub version: u32,
    /// The run.
    pub run: Run,
}

/// Writes a run down.
///
/// # Errors
/// None that a run can cause; the serializer's own.
pub fn write(run: &Run) -> Result<String, String> {
    serde_json::to_string(&LedgerBody { version: LEDGER_VERSION, run: run.clone() })
        .map_err(|error| format!("the run cannot be written down: {error}"))
}

/// Reads a run back.
///
/// # Errors
/// A body of another version, or one that is not a run.
pub fn read(body: &str) -> Result<Run, String> {
    let body: LedgerBody =
        serde_json::from_str(body).map_err(|error| format!("the ledger's body: {error}"))?;
    if body.version == LEDGER_VERSION {
        Ok(body.run)
    } else {
        Err(format!("the ledger's body has version {}, allowed {LEDGER_VERSION}", body.version))
    }
}

/// One run in a list of runs: what the index of the ledger carries beside the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The run.
    pub run_id: String,
    /// Its policy.
    pub policy_id: String,
    /// Its schedule.
    pub schedule_name: String,
    /// Its instance.
    pub instance_id: String,
    /// The scheduled time, or `on-demand:<request id>`.
    pub nominal_time: String,
    /// Where it stands.
    pub phase: Phase,
    /// The attempt that is under way, or was the last.
    pub attempt: u32,
    /// None before the verdict.
    pub outcome: Option<Outcome>,
    /// Of the set, if there is one.
    pub consistency: Option<Consistency>,
    /// The code of the reason, if there is one.
    pub code: Option<Code>,
    /// How long writers were held, if a receipt says so.
    pub frozen_ms: Option<u64>,
    /// No answer said that the instance is released.
    pub thaw_unconfirmed: bool,
    /// In ms since the epoch.
    pub started_ms: u64,
    /// When the verdict was reached, in ms since the epoch.
    pub ended_ms: Option<u64>,
}

impl Row {
    /// Of a run as it is now.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let (order, verdict) = (&run.order, run.verdict.as_ref());
        Self {
            run_id: order.run_id.clone(),
            policy_id: order.policy_id.clone(),
            schedule_name: order.schedule_name.clone(),
            instance_id: order.instance_id.clone(),
            nominal_time: order.nominal_time.clone(),
            phase: run.phase,
            attempt: run.attempt,
            outcome: verdict.map(|verdict| verdict.outcome),
            consistency: verdict.and_then(|verdict| verdict.consistency),
            code: verdict.and_then(|verdict| Some(verdict.cause.as_ref()?.code)),
            frozen_ms: verdict.and_then(|verdict| verdict.frozen_ms),
            thaw_unconfirmed: verdict.is_some_and(|verdict| verdict.thaw_unconfirmed),
            started_ms: run.started_ms,
            ended_ms: run.ended_ms,
        }
    }
}
