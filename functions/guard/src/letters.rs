//! Dead letters: requests that five deliveries did not finish, requests that EventBridge
//! could not queue, firings that never became a plan. Each gets its outcome; one that has
//! none yet stays in its queue.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::join_all;
use serde_json::Value;
use stillpoint_drive::outside::{Account, Bus, Clock, Firing};
use stillpoint_drive::{Batch, Limits, Task};
use stillpoint_telemetry::RefusalCode;
use stillpoint_wire::event::{RUN_FINISHED, RunFinished, read_requested};
use stillpoint_wire::ids;
use stillpoint_wire::queue::{BatchAnswer, Failure, Message, QueueEvent};

use crate::{firings, overdue};

/// How much of an unreadable letter is repeated in its outcome.
const FOUND_CHARS_MAX: usize = 200;

/// Settles each of them.
pub(crate) async fn settle<A: Account>(
    batch: &Batch<'_, A>,
    letters: &QueueEvent,
    request_id: &str,
    dead_at_ms: u64,
) -> BatchAnswer {
    let all = letters.records.iter().map(|letter| async move {
        let driver = format!("{request_id}/{}", letter.message_id);
        let limits = Limits { driver, dead_at_ms, task: Task::Settle };
        // What was a dead letter for the runner may be the death of the guard as well.
        let done = AssertUnwindSafe(one(batch, letter, limits)).catch_unwind().await;
        let done = done.unwrap_or_else(|_| {
            tracing::error!(message_id = letter.message_id, "the dead letter panicked");
            false
        });
        (!done).then(|| Failure { item_identifier: letter.message_id.clone() })
    });
    let failures = join_all(all).await;
    BatchAnswer { batch_item_failures: failures.into_iter().flatten().collect() }
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
            None => refuse(batch, letter, &why).await,
        },
    }
}

/// The firing of a letter: the planner's event as the schedule sent it, or inside the
/// record that Lambda makes of a function that failed for good.
fn firing(body: &str) -> Option<Firing> {
    let body: Value = serde_json::from_str(body).ok()?;
    let event = body.get("requestPayload").unwrap_or(&body);
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let policy_id = Some(text("policyId")).filter(|id| !id.is_empty())?;
    let (schedule_name, nominal_time) = (text("schedule"), text("scheduledTime"));
    Some(Firing { policy_id, schedule_name, nominal_time })
}

async fn refuse<A: Account>(batch: &Batch<'_, A>, letter: &Message, why: &str) -> bool {
    let found: String = letter.body.chars().take(FOUND_CHARS_MAX).collect();
    let finished = RunFinished::refused(
        ids::refusal_id("message", &letter.message_id),
        RefusalCode::Message.as_str(),
        format!("message {}: {why}; found {found:?}", letter.message_id),
        batch.now_ms(),
    );
    let detail = serde_json::to_string(&finished).unwrap_or_default();
    batch.publish(RUN_FINISHED, vec![detail]).await.is_ok()
}
