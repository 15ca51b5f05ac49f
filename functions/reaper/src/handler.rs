//! One invocation: decide about everything that there is, and do as much of it as there is time.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Clock;
use stillpoint_telemetry::{Unit, emf};
use stillpoint_upkeep::outside::Fault;
use stillpoint_upkeep::reaper::{Done, Limits, Report, reap};
use stillpoint_upkeep::retention::{Regions, plan};

/// What is left of the invocation when nothing new is begun: the longest single call.
const MARGIN_MS: u64 = 30_000;

/// What a person asks for; the schedule asks for nothing in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Put down what was done, for the person who waits for it under this id.
    pub request_id: Option<String>,
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What would be done.
    Plan(Regions),
    /// What was done.
    Done(Done),
}

/// Handles one invocation, which ends at `dead_at_ms` at the latest.
///
/// # Errors
/// When not all that there is could be read; then nothing was changed.
pub async fn handle(
    cloud: &Cloud,
    event: &Value,
    grace_ms: u64,
    dead_at_ms: u64,
) -> Result<Answer, Fault> {
    let request: Request = serde_json::from_value(event.clone()).unwrap_or_default();
    if request.dry_run {
        return Ok(Answer::Plan(plan(cloud, grace_ms).await?));
    }
    let limits = Limits { grace_ms, stop_at_ms: dead_at_ms.saturating_sub(MARGIN_MS) };
    let reaped = reap(cloud, limits).await;
    if let Some(request_id) = &request.request_id {
        let report = match &reaped {
            Ok(done) => Report::Done(done.clone()),
            Err(fault) => Report::NothingChanged(fault.to_string()),
        };
        if let Err(fault) = cloud.report_retention(request_id, &report).await {
            tracing::error!(request_id, %fault, "the report could not be put down");
        }
    }
    let done = reaped?;
    count(&done, cloud.now_ms());
    tracing::info!(
        marked = done.marked,
        unmarked = done.unmarked,
        out_of_time = done.out_of_time,
        "reaped"
    );
    Ok(Answer::Done(done))
}

/// DLM's names, by policy.
#[expect(clippy::print_stdout, reason = "an embedded metric is a line on stdout")]
fn count(done: &Done, now_ms: u64) {
    let policies: std::collections::BTreeSet<&String> =
        done.deleted.keys().chain(done.failed.keys()).collect();
    for policy_id in policies {
        let of = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.get(policy_id).copied().unwrap_or(0)
        };
        let metrics = [
            ("SnapshotsDeleteCompleted", of(&done.deleted), Unit::Count),
            ("SnapshotsDeleteFailed", of(&done.failed), Unit::Count),
        ];
        println!("{}", emf(now_ms, policy_id, &metrics, &[]));
    }
}
