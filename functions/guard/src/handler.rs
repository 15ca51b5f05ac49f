//! One invocation: a look around, or a batch of dead letters.

use serde_json::Value;
use stillpoint_drive::Batch;
use stillpoint_drive::outside::{Account, Clock};
use stillpoint_telemetry::{Unit, emf_total};
use stillpoint_wire::queue::{BatchAnswer, QueueEvent};

use crate::{firings, letters, overdue};

/// Handles one invocation. `dead_at_ms` is when it ends at the latest.
///
/// # Errors
/// When it could not look everywhere, after it has done what it could. The next minute
/// looks again.
pub async fn handle<A: Account>(
    account: &A,
    event: &Value,
    request_id: &str,
    dead_at_ms: u64,
) -> Result<BatchAnswer, String> {
    let batch = &Batch::new(account, request_id);
    if event.get("Records").is_some() {
        let letters: QueueEvent = serde_json::from_value(event.clone())
            .map_err(|error| format!("the event is not a batch of messages: {error}"))?;
        return Ok(letters::settle(batch, &letters, request_id, dead_at_ms).await);
    }
    let firings = firings::missing(account).await;
    let runs = overdue::ids(account).await;
    // Told before they are finished: finishing may take longer than this invocation has.
    let never_fired = firings.as_ref().map_or(0, Vec::len);
    let not_run = runs.as_ref().map_or(0, |runs| runs.iter().filter(|run| run.missing).count());
    let missing = u64::try_from(never_fired + not_run).unwrap_or(u64::MAX);
    let complete = firings.is_ok() && runs.is_ok();
    if complete || missing > 0 {
        // Nothing is said of a minute in which it was not seen.
        let metrics = [("RunsMissing", missing, Unit::Count)];
        account.metric(emf_total(batch.now_ms(), &metrics, &[("requestId", request_id)]));
    }
    let told = firings::tell(account, firings.as_deref().unwrap_or_default()).await;
    overdue::look_after(batch, runs.as_deref().unwrap_or_default(), request_id, dead_at_ms).await;
    let faults = [firings.err(), runs.err(), told.err()];
    let faults: Vec<String> = faults.iter().flatten().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(BatchAnswer::default()) } else { Err(faults.join("; ")) }
}
