//! A document that makes the set itself: sent once, found again by its comment, watched to
//! its end across drivers, and what it made is searched for.

use stillpoint_run::{
    Cause, Code, CommandEnd, DELIVERY_SECS, Order, Proof, Run, Seen, SnapshotSet, StageReport,
    StageResult,
};
use stillpoint_wire::{ids, vss};

use crate::command::{ended, finish, last_line, send};
use crate::outside::{CommandState, Fault, Outside, Progress, SendCommand};

/// Nobody waits for the document but the run; it takes a minute or two.
const POLL_MS: u64 = 1_000;
/// SSM itself ends the document at its executionTimeout and tells us a little later.
const GRACE_SECS: u32 = 30;
/// How long a cancelled command may take to be cancelled.
const CANCEL_MS: u64 = 30_000;
/// A command that is not running after this time has been cancelled long ago.
const UNDELIVERED_MS: u64 = DELIVERY_SECS as u64 * 2_000 + CANCEL_MS + 10_000;
/// SSM shows a command in its list within seconds; the waits add up to 14 s.
const FIND_WAITS_MS: [u64; 4] = [0, 2_000, 4_000, 8_000];
/// What was cancelled on Windows leaves its children behind, which may go on for the
/// minute that VSS gives a freeze.
const LATE_WAITS_MS: [u64; 5] = [0, 5_000, 10_000, 15_000, 30_000];
/// EC2's clock and ours are not this far apart.
const CLOCK_SKEW_MS: u64 = 60_000;

fn command(order: &Order, execution_id: &str) -> SendCommand {
    let (document, timeout_secs) = order
        .script
        .as_ref()
        .map(|script| (script.document.clone(), script.timeout_secs))
        .unwrap_or_default();
    SendCommand {
        instance_id: order.instance_id.clone(),
        parameters: vss::parameters(order, timeout_secs),
        document,
        delivery_secs: DELIVERY_SECS,
        comment: format!("stillpoint {} {execution_id}", order.run_id),
    }
}

/// Sends the document.
pub(crate) async fn send_it<O: Outside>(outside: &O, run: &Run, execution_id: &str) -> Seen {
    let started_ms = outside.now_ms();
    match send(outside, &command(&run.order, execution_id)).await {
        Ok(command_id) => Seen::Sent { command_id, now_ms: outside.now_ms() },
        Err((StageResult::NotSent, text)) => {
            let cause = Cause::new(Code::NotSent, format!("the VSS document was not sent: {text}"));
            let end = ended(StageResult::NotSent, None, None, Proof::None, Some(cause));
            script(run, finish(end, execution_id, started_ms, outside.now_ms()))
        }
        Err(_) => Seen::SendLost,
    }
}

/// Finds the command whose SendCommand may have been called.
///
/// # Errors
/// SSM does not answer. Nothing may be sent before it did.
pub(crate) async fn find_it<O: Outside>(
    outside: &O,
    run: &Run,
    execution_id: &str,
) -> Result<Seen, Fault> {
    let sought = command(&run.order, execution_id);
    let since_ms = run.started_ms.saturating_sub(CLOCK_SKEW_MS);
    let mut last = Ok(None);
    for wait_ms in FIND_WAITS_MS {
        outside.sleep_ms(wait_ms).await;
        last = outside.find_command(&sought, since_ms).await;
        if let Ok(Some(command_id)) = last {
            return Ok(Seen::Sent { command_id, now_ms: outside.now_ms() });
        }
    }
    last?;
    let text = "no answer to SendCommand came, and SSM shows no such command";
    let cause = Cause::new(Code::CommandUncertain, text);
    let end = ended(StageResult::NotSent, None, None, Proof::None, Some(cause));
    let now_ms = outside.now_ms();
    Ok(script(run, finish(end, execution_id, now_ms, now_ms)))
}

/// Watches the command until it ended, or until this driver's time is over: then none.
pub(crate) async fn watch_it<O: Outside>(
    outside: &O,
    run: &Run,
    execution_id: &str,
    command_id: &str,
    sent_ms: u64,
    until_ms: u64,
) -> Option<Seen> {
    let order = &run.order;
    let timeout_secs = order.script.as_ref().map_or(0, |script| script.timeout_secs);
    let step = order.script.as_ref().and_then(|script| vss::step(&script.document));
    let mut ran = false;
    let mut cancelled_ms = None;
    let end = loop {
        // A failed poll says nothing about the command; the time limits end the loop.
        if let Ok(state) = outside.state(command_id, &order.instance_id, step).await {
            match state.progress {
                Progress::Waiting => {}
                Progress::Running => ran = true,
                _ => {
                    // Another driver may have seen it run.
                    let old = outside.now_ms().saturating_sub(sent_ms) > UNDELIVERED_MS;
                    break end_of(&state, ran || old, timeout_secs);
                }
            }
        }
        let now_ms = outside.now_ms();
        let allowed_secs = if ran { timeout_secs + GRACE_SECS } else { DELIVERY_SECS };
        let allowed_ms = u64::from(DELIVERY_SECS + allowed_secs) * 1_000;
        match cancelled_ms {
            None if now_ms.saturating_sub(sent_ms) >= allowed_ms => {
                drop(outside.cancel(command_id, &order.instance_id).await);
                cancelled_ms = Some(now_ms);
            }
            Some(since_ms) if now_ms.saturating_sub(since_ms) >= CANCEL_MS => {
                let text = "SSM does not say that the cancelled document ended; it may still run";
                let cause = Cause::new(Code::VssUncertain, text);
                break ended(StageResult::Unknown, None, None, Proof::None, Some(cause));
            }
            _ if now_ms >= until_ms => return None,
            _ => {}
        }
        outside.sleep_ms(POLL_MS).await;
    };
    let mut end = end;
    end.report.command_id = Some(command_id.to_owned());
    Some(script(run, finish(end, execution_id, sent_ms, outside.now_ms())))
}

fn script(run: &Run, end: CommandEnd) -> Seen {
    let next_execution_id = ids::execution_id(&run.order, run.attempt + 1);
    Seen::Script { end: Box::new(end), next_execution_id }
}

fn end_of(state: &CommandState, ran: bool, timeout_secs: u32) -> CommandEnd {
    let details = &state.details;
    let end = |result, code, text: String| {
        ended(result, None, state.exit_code, Proof::None, Some(Cause::new(code, text)))
    };
    match state.progress {
        Progress::NeverRan => end(
            StageResult::NotSent,
            Code::NotSent,
            format!("SSM did not run the VSS document: {details}"),
        ),
        Progress::Cancelled if !ran => end(
            StageResult::NotSent,
            Code::NotSent,
            format!("SSM did not deliver the VSS document within {} s", DELIVERY_SECS * 2),
        ),
        Progress::OutOfTime | Progress::Cancelled => end(
            StageResult::TimedOut,
            Code::VssTimedOut,
            format!("the VSS document was ended after {timeout_secs} s: {details}"),
        ),
        Progress::GivenUp => end(
            StageResult::Unknown,
            Code::VssUncertain,
            format!("SSM gave up on the VSS document, which may still run: {details}"),
        ),
        Progress::Succeeded | Progress::Failed | Progress::Waiting | Progress::Running => {
            with_result(state)
        }
    }
}

fn with_result(state: &CommandState) -> CommandEnd {
    let result = vss::result(&state.stdout);
    let found = match &result {
        Ok(Some(Proof::Vss { error, .. })) => Some(*error),
        _ => None,
    };
    // Its exit code is its error code, where the output was lost or cut.
    let error = found.or(state.exit_code.map(i64::from));
    let succeeded = state.progress == Progress::Succeeded;
    let cause = match (&result, error) {
        (Ok(Some(_)), Some(0)) if succeeded => None,
        (Err(why), _) if succeeded => Some(Cause::new(Code::VssFailed, why.clone())),
        (Ok(None), _) if succeeded => Some(Cause::new(Code::NothingRan, no_result(state))),
        (_, Some(1..=99)) => Some(Cause::new(Code::VssNotConsistent, failed(state, error))),
        (_, error) => Some(Cause::new(Code::VssFailed, failed(state, error))),
    };
    let stage = if cause.is_none() { StageResult::Ok } else { StageResult::Failed };
    let proof = result.ok().flatten().unwrap_or_default();
    ended(stage, None, state.exit_code, proof, cause)
}

fn no_result(state: &CommandState) -> String {
    let head = "the VSS document reported success without a result";
    match last_line(&state.stdout).or_else(|| last_line(&state.stderr)) {
        Some(words) => format!("{head}: {words}"),
        None => format!("{head}: its steps were skipped by their precondition"),
    }
}

fn failed(state: &CommandState, error: Option<i64>) -> String {
    let Some(error) = error else {
        return format!("the VSS document failed: {}", state.details);
    };
    let head = format!("the VSS document failed with {error} ({})", vss::meaning(error));
    match last_line(&state.stderr) {
        Some(words) => format!("{head}: {words}"),
        None => head,
    }
}

/// What the document made: by the run's tag, and by its description among everything that
/// began on the instance's volumes since, should the tags not have been written.
///
/// # Errors
/// EC2 does not answer. Nothing may be made before it did.
pub(crate) async fn find_set<O: Outside>(
    outside: &O,
    run: &Run,
) -> Result<Option<SnapshotSet>, Fault> {
    let report = run.vss.as_ref().and_then(|vss| vss.report.as_ref());
    let result = report.map(|report| report.result);
    let late = matches!(result, Some(StageResult::TimedOut | StageResult::Unknown));
    let waits: &[u64] = if late { &LATE_WAITS_MS } else { &FIND_WAITS_MS };
    let mut last = Ok(None);
    for wait_ms in waits {
        outside.sleep_ms(*wait_ms).await;
        last = search(outside, run).await;
        let all = last.as_ref().is_ok_and(|set| set.as_ref().is_some_and(|set| whole(run, set)));
        if all {
            break;
        }
    }
    last
}

/// Whether there is nothing to wait for: every snapshot has its mark, and there is one of every
/// volume, or of everything that a document which ended well says that it made.
fn whole(run: &Run, set: &SnapshotSet) -> bool {
    let marked = set.snapshots.iter().all(|one| one.app_consistent.is_some());
    let of = |id: &str| set.snapshots.iter().any(|one| one.volume_id == id);
    let named = match run.vss.as_ref().and_then(|vss| vss.report.as_ref()) {
        Some(StageReport { proof: Proof::Vss { error: 0, snapshots, .. }, .. }) => snapshots.len(),
        _ => usize::MAX,
    };
    let all = run.order.volumes.iter().all(|volume| of(&volume.volume_id));
    marked && (all || set.snapshots.len() >= named)
}

async fn search<O: Outside>(outside: &O, run: &Run) -> Result<Option<SnapshotSet>, Fault> {
    let order = &run.order;
    let mut set = outside.find(&order.run_id).await?.unwrap_or_default();
    let ids = order.volumes.iter().map(|volume| volume.volume_id.clone());
    let ids: Vec<_> = ids.chain(order.left_out.iter().map(|one| one.volume_id.clone())).collect();
    let since_ms = run.started_ms.saturating_sub(CLOCK_SKEW_MS);
    let description = vss::description(order);
    for begun in outside.begun_since(&ids, since_ms).await? {
        let known = set.snapshots.iter().any(|one| one.snapshot_id == begun.taken.snapshot_id);
        if !known && begun.description == description {
            set.snapshots.push(begun.taken);
        } else if !known && !begun.tagged && begun.description.is_empty() {
            // Perhaps of the document, perhaps a person's: what is not certainly ours is not
            // adopted, since it would be deleted one day.
            let (snapshot_id, volume_id) = (&begun.taken.snapshot_id, &begun.taken.volume_id);
            tracing::warn!(run_id = order.run_id, snapshot_id, volume_id, "left alone: unmarked");
        }
    }
    set.adopted = true;
    Ok((!set.snapshots.is_empty()).then_some(set))
}
