//! Dead letters: requests that five deliveries did not finish, requests that EventBridge
//! could not queue, firings that never became a plan. Each gets its outcome; one that has
//! none yet stays in its queue.

use serde_json::Value;
use stillpoint_drive::outside::{Account, Firing};
use stillpoint_drive::{Batch, Limits, Task};
use stillpoint_runner::messages;
use stillpoint_wire::event::read_requested;
use stillpoint_wire::queue::{BatchAnswer, Message, QueueEvent};

use crate::{firings, overdue};

/// Settles each of them.
pub(crate) async fn settle<A: Account>(
    batch: &Batch<'_, A>,
    letters: &QueueEvent,
    request_id: &str,
    dead_at_ms: u64,
) -> BatchAnswer {
    // What was a dead letter for the runner may be the death of the guard as well.
    messages::each(letters, request_id, dead_at_ms, Task::Settle, |letter, limits| {
        one(batch, letter, limits)
    })
    .await
}

async fn one<A: Account>(batch: &Batch<'_, A>, letter: &Message, limits: Limits) -> bool {
    tracing::error!(message_id = letter.message_id, body = letter.body, "a dead letter");
    match read_requested(&letter.body) {
        Ok(order) => overdue::settle(batch, &order, limits).await,
        Err(why) => match firing(&letter.body) {
            Some(firing) => {
                let why = "neither the scheduler nor its repeats could make the planner plan \
                           this firing; the planner's log says why";
                firings::publish(batch, &firing, why).await.is_ok()
            }
            None => messages::refuse(batch, letter, &why).await,
        },
    }
}

/// The firing of a letter: the planner's event as the schedule sent it, inside the record that
/// Lambda makes of a function that failed for good, or inside the event of who asked for it.
fn firing(body: &str) -> Option<Firing> {
    let body: Value = serde_json::from_str(body).ok()?;
    let event = body.get("requestPayload").or_else(|| body.get("detail")).unwrap_or(&body);
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let policy_id = Some(text("policyId")).filter(|id| !id.is_empty())?;
    let (schedule_name, nominal_time) = (text("schedule"), text("scheduledTime"));
    Some(Firing { policy_id, schedule_name, nominal_time })
}
