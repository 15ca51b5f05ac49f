//! `Pre Post Script Notification`: DLM's event of that kind, field by field, so that what reads
//! DLM's reads ours.
//!
//! DLM's field names are those of the EBS user guide's example. Where DLM has an ARN we have its
//! last part, the id: what reads the part after the last `/` reads both.

use serde::{Deserialize, Serialize};
use stillpoint_run::{Run, StageReport, StageResult};

use crate::time::rfc3339;

/// The event's detail type, as DLM's without its name.
pub const SCRIPT_NOTIFICATION: &str = "Pre Post Script Notification";

/// The detail of [`SCRIPT_NOTIFICATION`]: how one stage of a run's last attempt ended.
///
/// DLM also tells of the beginning. We tell of both stages after the post-script, since nothing
/// is sent while something may be held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptNotification {
    /// `PRE`, `POST`; empty for a VSS document, which has no stages.
    pub script_stage: String,
    /// `success` or `failed`.
    pub result: String,
    /// Why it failed; empty if it did not.
    pub cause: String,
    /// The policy.
    pub policy_id: String,
    /// The SSM document, or DLM's name of a handler.
    pub execution_handler: String,
    /// The instance.
    pub source: String,
    /// `EBS_SNAPSHOT`.
    pub resource_type: String,
    /// The run's set, as far as there is one.
    pub resources: Vec<NotifiedResource>,
    /// The execution id of the attempt.
    pub request_id: String,
    /// RFC 3339, UTC, milliseconds.
    pub start_time: String,
    /// RFC 3339, UTC, milliseconds.
    pub end_time: String,
    /// When its time was over, if that is how it ended; else empty.
    pub timeout_time: String,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifiedResource {
    /// `pending`, as a snapshot is when its set was just made.
    pub status: String,
    /// `snap-...`
    pub resource_id: String,
    /// `vol-...`
    pub source: String,
}

/// The notifications of a run whose set, or the lack of one, is settled.
#[must_use]
pub fn of(run: &Run) -> Vec<ScriptNotification> {
    let vss = run.vss.as_ref().and_then(|vss| vss.report.as_ref());
    let stages = [("PRE", run.pre.as_ref()), ("POST", run.post.as_ref()), ("", vss)];
    stages.iter().filter_map(|(stage, report)| Some(one(run, stage, (*report)?))).collect()
}

fn one(run: &Run, stage: &str, report: &StageReport) -> ScriptNotification {
    let order = &run.order;
    let timeout_ms =
        order.script.as_ref().map_or(0, |script| u64::from(script.timeout_secs)) * 1_000;
    let snapshots = run.set.as_ref().map(|set| set.snapshots.as_slice()).unwrap_or_default();
    let ok = report.result == StageResult::Ok;
    let timed_out = report.result == StageResult::TimedOut;
    ScriptNotification {
        script_stage: stage.to_owned(),
        result: if ok { "success" } else { "failed" }.to_owned(),
        cause: report.cause.clone(),
        policy_id: order.policy_id.clone(),
        execution_handler: order.script.as_ref().map(|s| s.document.clone()).unwrap_or_default(),
        source: order.instance_id.clone(),
        resource_type: "EBS_SNAPSHOT".to_owned(),
        resources: snapshots
            .iter()
            .map(|snapshot| NotifiedResource {
                status: "pending".to_owned(),
                resource_id: snapshot.snapshot_id.clone(),
                source: snapshot.volume_id.clone(),
            })
            .collect(),
        request_id: report.execution_id.clone(),
        start_time: rfc3339(report.started_ms),
        end_time: rfc3339(report.ended_ms),
        timeout_time: if timed_out {
            rfc3339(report.started_ms.saturating_add(timeout_ms))
        } else {
            String::new()
        },
    }
}
