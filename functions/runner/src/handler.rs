//! One invocation: a batch of messages, all driven at the same time. A message that
//! has its outcome is done; one that has not is given back to the queue by its id.

use stillpoint_drive::outside::{Account, Clock, Journal};
use stillpoint_drive::{Advance, Batch, DriveError, Limits, Task, advance};
use stillpoint_run::Order;
use stillpoint_wire::event::read_requested;
use stillpoint_wire::queue::{BatchAnswer, Message, QueueEvent};

use crate::{messages, metrics};

/// A double most often comes while its twin is at work. Given back, it would lie in the queue
/// for 16 minutes; so its run is looked at again, this long and this often.
const TWIN_PATIENCE_MS: u64 = 45_000;
const TWIN_LOOK_MS: u64 = 3_000;

/// Handles one batch. `dead_at_ms` is when the invocation ends at the latest.
pub async fn handle<A: Account>(
    account: &A,
    event: &QueueEvent,
    request_id: &str,
    dead_at_ms: u64,
) -> BatchAnswer {
    let batch = &Batch::new(account, request_id);
    messages::each(event, request_id, dead_at_ms, Task::Run, |message, limits| {
        one(batch, message, limits)
    })
    .await
}

/// Whether the message has its outcome.
async fn one<A: Account>(batch: &Batch<'_, A>, message: &Message, limits: Limits) -> bool {
    let order = match read_requested(&message.body) {
        Ok(order) => order,
        Err(why) => return messages::refuse(batch, message, &why).await,
    };
    let run_id = order.run_id.clone();
    match advance_after_twin(batch, order, limits).await {
        Ok(Advance::Finished(run)) => {
            if let Some(line) = metrics::finished(&run, batch.now_ms()) {
                batch.metric(line);
            }
            true
        }
        Ok(Advance::AlreadyFinished) => {
            tracing::info!(run_id, "a duplicate delivery of a finished run");
            true
        }
        Ok(Advance::Busy { until_ms }) => {
            tracing::info!(run_id, until_ms, "somebody else may be driving this run");
            false
        }
        Ok(Advance::OutOfTime) => {
            tracing::info!(run_id, "what comes next does not fit into this invocation");
            false
        }
        Err(error) => {
            tracing::error!(run_id, %error, "the run goes on with the next delivery");
            false
        }
    }
}

/// Drives the run, once the twin of this message has ended that may be driving it.
async fn advance_after_twin<A: Account>(
    batch: &Batch<'_, A>,
    order: Order,
    limits: Limits,
) -> Result<Advance, DriveError> {
    let until_ms = limits.dead_at_ms.min(batch.now_ms() + TWIN_PATIENCE_MS);
    loop {
        let came = advance(batch, order.clone(), limits.clone()).await;
        let twin = matches!(came, Ok(Advance::Busy { .. }) | Err(DriveError::Overtaken));
        if !twin || batch.now_ms() + TWIN_LOOK_MS >= until_ms {
            return came;
        }
        batch.sleep_ms(TWIN_LOOK_MS).await;
    }
}
