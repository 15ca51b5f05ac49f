//! Does what a run owes and turns the answer into what was seen.

use stillpoint_run::{Cause, Code, CreateCall, Owed, Run, Seen};
use stillpoint_wire::event::{RUN_FINISHED, RunFinished};
use stillpoint_wire::notification::{self, SCRIPT_NOTIFICATION};
use stillpoint_wire::{ids, tags, time};

use crate::command::run_stage;
use crate::outside::{Fault, FaultKind, Outside};
use crate::vss;

/// A set that a lost CreateSnapshots made is visible by its tag after this time at the
/// latest: the waits add up to 14 s. EC2 promises no time; tag filters lag by seconds.
const FIND_WAITS_MS: [u64; 4] = [0, 2_000, 4_000, 8_000];
/// How often writing the verdict is repeated, doubling from [`REPORT_WAIT_MS`].
const REPORTS_MAX: u32 = 4;
const REPORT_WAIT_MS: u64 = 500;

/// Codes by which EC2 says that the account asks too much, whichever its volumes.
const ACCOUNT_THROTTLED: [&str; 6] = [
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "Throttling",
    "ThrottlingException",
];

/// What came of one thing that was owed.
pub(crate) struct Done {
    /// For the run; none if nothing was owed.
    pub(crate) seen: Option<Seen>,
    /// EC2 throttled the whole account, which the budget has to know.
    pub(crate) throttled: bool,
}

/// Performs one thing that is owed; none if it is not done at `until_ms`, the end of the
/// driver's time, and goes on without it.
///
/// # Errors
/// Only what could not be done and must not be taken for done; the run stays as it is
/// on record, and a later delivery goes on from there.
pub(crate) async fn perform<O: Outside>(
    outside: &O,
    run: &Run,
    owed: &Owed,
    until_ms: u64,
) -> Result<Done, Fault> {
    let order = &run.order;
    let next_execution_id = ids::execution_id(order, run.attempt + 1);
    let mut throttled = false;
    let seen = match owed {
        Owed::Begin => Seen::Begin { next_execution_id, now_ms: outside.now_ms() },
        Owed::Command { stage, execution_id } => {
            let end = run_stage(outside, order, *stage, execution_id).await;
            Seen::Script { end: Box::new(end), next_execution_id }
        }
        Owed::SendVss { execution_id } => vss::send_it(outside, run, execution_id).await,
        Owed::FindVss { execution_id } => vss::find_it(outside, run, execution_id).await?,
        Owed::WatchVss { execution_id, command_id, sent_ms } => {
            let watched = vss::watch_it(outside, run, execution_id, command_id, *sent_ms, until_ms);
            return Ok(Done { seen: watched.await, throttled });
        }
        Owed::CreateSnapshots { wait_ms } => {
            if *wait_ms > 0 {
                outside.sleep_ms(*wait_ms).await;
            }
            create(outside, run, &mut throttled).await
        }
        Owed::FindSet => Seen::Found { set: find(outside, run).await?, next_execution_id },
        Owed::Report => {
            report(outside, run).await?;
            Seen::Reported
        }
        Owed::Nothing => return Ok(Done { seen: None, throttled }),
    };
    Ok(Done { seen: Some(seen), throttled })
}

async fn create<O: Outside>(outside: &O, run: &Run, throttled: &mut bool) -> Seen {
    let started_ms = outside.now_ms();
    let answer = outside.create(&run.order, &tags::at_creation(&run.order)).await;
    let call = CreateCall { started_ms, ended_ms: outside.now_ms() };
    match answer {
        Ok(set) => Seen::Created(set, call),
        Err(fault) => {
            let text = format!("CreateSnapshots: {fault}");
            *throttled = ACCOUNT_THROTTLED.contains(&fault.code.as_str());
            let code = match fault.kind {
                FaultKind::Unknown => return Seen::CreateLost { why: text, call },
                FaultKind::Retry => Code::CreateThrottled,
                FaultKind::Refused if is_gone(&fault) => Code::InstanceGone,
                FaultKind::Refused => Code::CreateRefused,
            };
            Seen::CreateRefused { cause: Cause::new(code, text), call }
        }
    }
}

/// EC2 shows a terminated instance for about an hour. Until then it refuses the call for
/// the instance's state and not for its id, and its words are all that tell it from an
/// instance that is only starting.
fn is_gone(fault: &Fault) -> bool {
    let of_state = ["IncorrectInstanceState", "IncorrectState"].contains(&fault.code.as_str());
    fault.code.starts_with("InvalidInstanceID") || (of_state && fault.text.contains("terminated"))
}

async fn find<O: Outside>(
    outside: &O,
    run: &Run,
) -> Result<Option<stillpoint_run::SnapshotSet>, Fault> {
    if run.set_is_of_vss() {
        return vss::find_set(outside, run).await;
    }
    let mut last = Ok(None);
    for wait_ms in FIND_WAITS_MS {
        outside.sleep_ms(wait_ms).await;
        last = outside.find(&run.order.run_id).await;
        if let Ok(Some(set)) = last {
            return Ok(Some(set));
        }
    }
    last
}

/// Tags first, the event last: whoever acts on the event finds the tags in place.
async fn report<O: Outside>(outside: &O, run: &Run) -> Result<(), Fault> {
    let now_ms = outside.now_ms();
    let Some(event) = RunFinished::of(run, now_ms) else { return Ok(()) };
    for snapshot in &event.snapshots {
        let tags = tags::of_verdict(run, snapshot);
        tag(outside, &snapshot.snapshot_id, &tags).await?;
    }
    let instance_tags = tags::of_instance(run, &time::rfc3339(now_ms));
    tag(outside, &run.order.instance_id, &instance_tags).await?;
    let detail = serde_json::to_string(&event).map_err(unwritable)?;
    for notification in notification::of(run) {
        let detail = serde_json::to_string(&notification).map_err(unwritable)?;
        repeat(outside, || outside.publish(SCRIPT_NOTIFICATION, vec![detail.clone()])).await?;
    }
    repeat(outside, || outside.publish(RUN_FINISHED, vec![detail.clone()])).await
}

fn unwritable(error: impl std::fmt::Display) -> Fault {
    Fault { kind: FaultKind::Refused, code: "Serialization".to_owned(), text: error.to_string() }
}

async fn tag<O: Outside>(
    outside: &O,
    resource_id: &str,
    tags: &std::collections::BTreeMap<String, String>,
) -> Result<(), Fault> {
    match repeat(outside, || outside.tag(resource_id, tags)).await {
        // The resource is gone or may not be tagged: the event and the ledger still tell.
        Err(fault) if fault.kind == FaultKind::Refused => {
            tracing::warn!(resource_id, %fault, "the verdict could not be written as tags");
            Ok(())
        }
        other => other,
    }
}

async fn repeat<O, F, T>(outside: &O, mut act: F) -> Result<(), Fault>
where
    O: Outside,
    F: FnMut() -> T,
    T: Future<Output = Result<(), Fault>>,
{
    let mut repeats = 0;
    loop {
        match act().await {
            Err(fault) if fault.kind != FaultKind::Refused && repeats < REPORTS_MAX => {
                outside.sleep_ms(REPORT_WAIT_MS << repeats).await;
                repeats += 1;
            }
            other => return other,
        }
    }
}
