//! Runs that should have gone on and did not: their request was lost, or their driver died
//! and nobody came after it. They are thawed, settled and finished; what has to begin
//! something is requested once more.

use futures::future::join_all;
use stillpoint_drive::outside::{Account, Bus, Clock, Fault, Journal, Lease, Ledger, Recorded};
use stillpoint_drive::{Advance, Batch, DUE_AFTER_MS, Limits, Task, advance};
use stillpoint_run::{Order, Phase};
use stillpoint_wire::event::{RUN_REQUESTED, RunRequested};

/// So many at a time, the longest overdue first; the rest is for the next minute.
const RUNS_MAX: usize = 50;

/// A run that is overdue.
#[derive(Clone, Debug)]
pub(crate) struct Overdue {
    recorded: Recorded,
    /// Its start window is over, and it has no outcome.
    pub(crate) missing: bool,
}

/// Finds them.
pub(crate) async fn ids<A: Account>(account: &A) -> Result<Vec<Overdue>, Fault> {
    let now_ms = account.now_ms();
    let ids = account.overdue(now_ms, RUNS_MAX).await?;
    let loaded = join_all(ids.iter().map(|id| account.load(id))).await;
    let mut found = vec![];
    for recorded in loaded {
        // The index may lag: only the record itself counts.
        let Some(recorded) = recorded? else { continue };
        let waits = recorded.lease.until_ms > now_ms || recorded.lease.due_ms > now_ms;
        if recorded.run.phase != Phase::Done && !waits {
            let missing = now_ms > recorded.run.order.start_before_ms;
            found.push(Overdue { recorded, missing });
        }
    }
    Ok(found)
}

/// Looks after each of them; what fails is overdue again in the next minute.
pub(crate) async fn look_after<A: Account>(
    batch: &Batch<'_, A>,
    runs: &[Overdue],
    request_id: &str,
    dead_at_ms: u64,
) {
    let all = runs.iter().map(|run| async move {
        let order = &run.recorded.run.order;
        tracing::warn!(
            run_id = order.run_id,
            phase = ?run.recorded.run.phase,
            missing = run.missing,
            "overdue"
        );
        if run.recorded.run.phase == Phase::New && !run.missing {
            request_again(batch, &run.recorded, request_id).await
        } else {
            let driver = format!("{request_id}/{}", order.run_id);
            settle(batch, order, Limits { driver, dead_at_ms, task: Task::Settle }).await
        }
    });
    join_all(all).await;
}

/// Its request was lost on the way, or waits in a queue that is long; both are the same
/// run. Put off first, so that it is not requested every minute.
async fn request_again<A: Account>(
    batch: &Batch<'_, A>,
    recorded: &Recorded,
    request_id: &str,
) -> bool {
    let run = &recorded.run;
    let lease = Lease {
        driver: format!("{request_id}/{}", run.order.run_id),
        until_ms: 0,
        due_ms: batch.now_ms() + DUE_AFTER_MS,
    };
    let put_off = batch.save(run, Some(recorded.version), &lease).await;
    put_off.is_ok() && request(batch, &run.order).await
}

async fn request<A: Account>(batch: &Batch<'_, A>, order: &Order) -> bool {
    let requested = batch.publish(RUN_REQUESTED, vec![RunRequested::detail(order)]).await;
    if let Err(fault) = &requested {
        tracing::error!(run_id = order.run_id, %fault, "the run could not be requested again");
    }
    requested.is_ok()
}

/// Does what the run owes, short of beginning anything. True if it is finished, or left to
/// a runner that was told.
pub(crate) async fn settle<A: Account>(
    batch: &Batch<'_, A>,
    order: &Order,
    limits: Limits,
) -> bool {
    match advance(batch, order.clone(), limits).await {
        Ok(Advance::Finished(run)) => {
            if let Some(line) = stillpoint_runner::metrics_of(&run, batch.now_ms()) {
                batch.metric(line);
            }
            true
        }
        Ok(Advance::AlreadyFinished) => true,
        Ok(Advance::OutOfTime) => request(batch, order).await,
        Ok(Advance::Busy { .. }) => false,
        Err(error) => {
            tracing::error!(run_id = order.run_id, %error, "the run could not be finished");
            false
        }
    }
}
