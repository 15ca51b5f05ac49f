//! What the messages of any queue have in common: each is handled by itself, and one that
//! nobody can read is told of.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::join_all;
use stillpoint_drive::outside::{Bus, Clock};
use stillpoint_drive::{Limits, Task};
use stillpoint_telemetry::RefusalCode;
use stillpoint_wire::event::{RUN_FINISHED, RunFinished};
use stillpoint_wire::ids;
use stillpoint_wire::queue::{BatchAnswer, Failure, Message, QueueEvent};

/// How much of an unreadable message is repeated in its outcome.
const FOUND_CHARS_MAX: usize = 200;

/// Handles all of them at the same time; those for which `one` is false, or panics, come
/// again. The request id and the message's make the name of a driver.
pub async fn each<'a, F: Future<Output = bool>>(
    event: &'a QueueEvent,
    request_id: &str,
    dead_at_ms: u64,
    task: Task,
    one: impl Fn(&'a Message, Limits) -> F,
) -> BatchAnswer {
    let one = &one;
    let all = event.records.iter().map(|message| async move {
        let driver = format!("{request_id}/{}", message.message_id);
        let limits = Limits { driver, dead_at_ms, task };
        // A panic in one must not take the others' messages with it.
        let done = AssertUnwindSafe(one(message, limits)).catch_unwind().await;
        let done = done.unwrap_or_else(|_| {
            tracing::error!(message_id = message.message_id, "what the message asks for panicked");
            false
        });
        (!done).then(|| Failure { item_identifier: message.message_id.clone() })
    });
    let failures = join_all(all).await;
    BatchAnswer { batch_item_failures: failures.into_iter().flatten().collect() }
}

/// A message that nobody can read is an outcome of its own, and is not tried again. True if
/// that is published.
pub async fn refuse<O: Bus + Clock>(outside: &O, message: &Message, why: &str) -> bool {
    let code = RefusalCode::Message.as_str();
    tracing::error!(code, message_id = message.message_id, body = message.body, why, "refused");
    let found: String = message.body.chars().take(FOUND_CHARS_MAX).collect();
    let finished = RunFinished::refused(
        ids::refusal_id("message", &message.message_id),
        code,
        format!("message {}: {why}; found {found:?}", message.message_id),
        outside.now_ms(),
    );
    let detail = serde_json::to_string(&finished).unwrap_or_default();
    match outside.publish(RUN_FINISHED, vec![detail]).await {
        Ok(()) => true,
        Err(fault) => {
            tracing::error!(%fault, "the refusal could not be published");
            false
        }
    }
}
