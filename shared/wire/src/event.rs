//! The events on the bus `stillpoint`.

use serde::{Deserialize, Serialize};
use stillpoint_run::{
    Consistency, CreateCall, Order, Outcome, Run, SnapshotVerdict, StageReport, StageResult,
};

use crate::time::rfc3339;

/// The source of every event of ours.
pub const SOURCE: &str = "stillpoint";
/// That a policy is to be fired now: the planner's own event, from whoever may not invoke it.
pub const FIRING_REQUESTED: &str = "Policy Firing Requested";
/// That retention is to be carried out now: the reaper's own event, from whoever may not delete.
pub const RETENTION_REQUESTED: &str = "Retention Requested";
/// One a planned run, for the runner's queue.
pub const RUN_REQUESTED: &str = "Snapshot Run Requested";
/// One a run, with its outcome.
pub const RUN_FINISHED: &str = "Snapshot Run Finished";
/// The version of both details.
pub const EVENT_VERSION: u32 = 1;

/// The detail of [`RUN_REQUESTED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequested {
    /// [`EVENT_VERSION`].
    pub version: u32,
    /// What is asked for.
    pub order: Order,
}

/// The detail of [`RUN_FINISHED`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFinished {
    /// [`EVENT_VERSION`].
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// Its policy; empty for a message that names none.
    pub policy_id: String,
    /// Its schedule.
    pub schedule_name: String,
    /// Its instance; empty if the run never had one.
    pub instance_id: String,
    /// The scheduled time, or `on-demand:<request id>`.
    pub nominal_time: String,
    /// Completed, with issues, failed.
    pub outcome: Outcome,
    /// Of the set; null if there is none.
    pub consistency: Option<Consistency>,
    /// The stable code of the reason; empty if there is none.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// The set.
    pub snapshots: Vec<SnapshotVerdict>,
    /// The pre-script, if it ran.
    pub pre_script: Option<StageSummary>,
    /// The post-script, if it ran.
    pub post_script: Option<StageSummary>,
    /// The VSS document, if it was sent; it stands for both scripts and CreateSnapshots.
    #[serde(default)]
    pub vss: Option<StageSummary>,
    /// When CreateSnapshots was called.
    pub create_snapshots: Option<Interval>,
    /// How long writers were held, if a receipt says so.
    pub frozen_ms: Option<u64>,
    /// No answer said that the instance is released.
    pub thaw_unconfirmed: bool,
    /// How many attempts were made.
    pub attempts: u32,
    /// RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub ended_at: String,
}

/// One stage of the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageSummary {
    /// Ok, failed, ...
    pub result: StageResult,
    /// Why it failed; empty if it did not.
    pub cause: String,
    /// SSM's command id.
    pub command_id: Option<String>,
    /// The execution id of the attempt.
    pub execution_id: String,
    /// The script's exit code.
    pub exit_code: Option<i32>,
    /// RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub ended_at: String,
}

/// Two times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub ended_at: String,
}

impl RunRequested {
    /// The detail that asks for a run.
    #[must_use]
    pub fn detail(order: &Order) -> String {
        let requested = Self { version: EVENT_VERSION, order: order.clone() };
        serde_json::to_string(&requested).unwrap_or_default()
    }
}

impl RunFinished {
    /// The event of a run that has its verdict; none before.
    #[must_use]
    pub fn of(run: &Run, now_ms: u64) -> Option<Self> {
        let verdict = run.verdict.as_ref()?;
        let cause = verdict.cause.as_ref();
        Some(Self {
            version: EVENT_VERSION,
            run_id: run.order.run_id.clone(),
            policy_id: run.order.policy_id.clone(),
            schedule_name: run.order.schedule_name.clone(),
            instance_id: run.order.instance_id.clone(),
            nominal_time: run.order.nominal_time.clone(),
            outcome: verdict.outcome,
            consistency: verdict.consistency,
            code: cause.map(|cause| cause.code.as_str().to_owned()).unwrap_or_default(),
            reason: cause.map(|cause| cause.text.clone()).unwrap_or_default(),
            snapshots: verdict.snapshots.clone(),
            pre_script: run.pre.as_ref().map(StageSummary::of),
            post_script: run.post.as_ref().map(StageSummary::of),
            vss: run.vss.as_ref().and_then(|vss| vss.report.as_ref()).map(StageSummary::of),
            create_snapshots: run.create.as_ref().map(Interval::of),
            frozen_ms: verdict.frozen_ms,
            thaw_unconfirmed: verdict.thaw_unconfirmed,
            attempts: run.attempt,
            started_at: rfc3339(run.started_ms),
            ended_at: rfc3339(run.ended_ms.unwrap_or(now_ms)),
        })
    }

    /// The event of something that never became a run: a refused policy, a message that
    /// cannot be read. `id` is stable for the same occasion, so that repeats collapse.
    #[must_use]
    pub fn refused(id: String, code: &str, reason: String, now_ms: u64) -> Self {
        Self {
            version: EVENT_VERSION,
            run_id: id,
            policy_id: String::new(),
            schedule_name: String::new(),
            instance_id: String::new(),
            nominal_time: String::new(),
            outcome: Outcome::Failed,
            consistency: None,
            code: code.to_owned(),
            reason,
            snapshots: vec![],
            pre_script: None,
            post_script: None,
            vss: None,
            create_snapshots: None,
            frozen_ms: None,
            thaw_unconfirmed: false,
            attempts: 0,
            started_at: rfc3339(now_ms),
            ended_at: rfc3339(now_ms),
        }
    }
}

impl StageSummary {
    fn of(report: &StageReport) -> Self {
        Self {
            result: report.result,
            cause: report.cause.clone(),
            command_id: report.command_id.clone(),
            execution_id: report.execution_id.clone(),
            exit_code: report.exit_code,
            started_at: rfc3339(report.started_ms),
            ended_at: rfc3339(report.ended_ms),
        }
    }
}

impl Interval {
    fn of(call: &CreateCall) -> Self {
        Self { started_at: rfc3339(call.started_ms), ended_at: rfc3339(call.ended_ms) }
    }
}

/// Reads the queue's message: the whole EventBridge event, with the order in its detail.
///
/// # Errors
/// What is wrong with it and where, for the person who finds the message.
pub fn read_requested(body: &str) -> Result<Order, String> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "detail-type")]
        detail_type: String,
        detail: serde_json::Value,
    }
    let envelope: Envelope = serde_json::from_str(body)
        .map_err(|error| format!("the message is not an EventBridge event: {error}"))?;
    if envelope.detail_type != RUN_REQUESTED {
        return Err(format!(
            "detail-type: found {:?}, allowed {RUN_REQUESTED:?}",
            envelope.detail_type
        ));
    }
    let version = envelope.detail.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(EVENT_VERSION)) {
        return Err(format!("detail.version: found {version:?}, allowed {EVENT_VERSION}"));
    }
    serde_json::from_value::<RunRequested>(envelope.detail)
        .map(|requested| requested.order)
        .map_err(|error| format!("detail: {error}"))
}
