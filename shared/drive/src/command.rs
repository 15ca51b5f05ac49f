//! One stage of the script: send the document, watch it, put its end in the run's words.

use std::collections::BTreeMap;

use stillpoint_run::{
    Cause, Code, CommandEnd, DELIVERY_SECS, Order, Proof, ProofState, Stage, StageReport,
    StageResult,
};
use stillpoint_wire::receipt::{self, HoldState, Receipt};

use crate::outside::{CommandState, FaultKind, Outside, Progress, SendCommand};

/// Writers wait while the end of a pre-script is not seen, so look often, at first.
const POLL_MS: u64 = 200;
/// Nobody waits for the end of a post-script, and a script that takes its time will go on
/// doing so.
const POLL_SLOWLY_MS: u64 = 500;
const POLL_OFTEN_FOR_MS: u64 = 8_000;
/// A throttled SendCommand is repeated this often, doubling from [`SEND_WAIT_MS`].
const SENDS_MAX: u32 = 5;
const SEND_WAIT_MS: u64 = 500;
/// Documents whose name begins like this are ours; they take more than DLM sends.
const OUR_DOCUMENTS: &str = "Stillpoint-";
/// AWS's document for SAP HANA takes one parameter more; 10 to 120 s, as DLM's timeout.
const SAP_HANA_DOCUMENT: &str = "AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA";
/// How the agent says that a step was skipped (amazon-ssm-agent, runpluginutil).
const SKIPPED: &str = "Step execution skipped due to";
/// How much of a document's own words goes into a cause.
const WORDS_CHARS_MAX: usize = 300;

/// The longest that one stage can take, in milliseconds.
pub(crate) fn stage_ms_max(timeout_secs: u32) -> u64 {
    u64::from(DELIVERY_SECS + timeout_secs) * 1_000 + (SEND_WAIT_MS << SENDS_MAX)
}

/// Runs one stage to its end, or to the end of its time.
pub(crate) async fn run_stage<O: Outside>(
    outside: &O,
    order: &Order,
    stage: Stage,
    execution_id: &str,
) -> CommandEnd {
    let (document, timeout_secs) = order
        .script
        .as_ref()
        .map(|script| (script.document.clone(), script.timeout_secs))
        .unwrap_or_default();
    let command = SendCommand {
        instance_id: order.instance_id.clone(),
        parameters: parameters(order, &document, stage, execution_id, timeout_secs),
        document,
        delivery_secs: DELIVERY_SECS,
        comment: format!("stillpoint {}", order.run_id),
    };
    let started_ms = outside.now_ms();
    let end = match send(outside, &command).await {
        Ok(command_id) => {
            let mut watched = watch(outside, order, &command_id, stage, timeout_secs).await;
            if let (Watched::Ended(state), Stage::Post) = (&mut watched, stage) {
                see_skipped(outside, order, &command_id, state).await;
            }
            end_of(stage, watched, timeout_secs, Some(command_id))
        }
        Err((result, text)) => {
            let code = match result {
                StageResult::NotSent => Code::NotSent,
                _ => Code::CommandUncertain,
            };
            let text = format!("{} was not sent: {text}", stage.command());
            ended(result, None, None, Proof::None, Some(Cause::new(code, text)))
        }
    };
    finish(end, execution_id, started_ms, outside.now_ms())
}

/// What DLM sends to every document, and for ours also how much time there is and which
/// volumes are in the set, so that nothing else is frozen.
fn parameters(
    order: &Order,
    document: &str,
    stage: Stage,
    execution_id: &str,
    timeout_secs: u32,
) -> BTreeMap<String, Vec<String>> {
    let own = order.script.as_ref().map(|script| script.parameters.clone());
    let mut parameters = own.unwrap_or_default();
    let mut put = |name: &str, value: String| parameters.insert(name.to_owned(), vec![value]);
    if is_ours(document) {
        let data = order.volumes.iter().filter(|volume| !volume.boot);
        let ids: Vec<_> = data.map(|volume| volume.volume_id.as_str()).collect();
        put("timeout", format!("{timeout_secs}s"));
        put("volumes", ids.join(","));
    }
    if name(document) == SAP_HANA_DOCUMENT {
        put("executionTimeout", timeout_secs.to_string());
    }
    put("executionId", execution_id.to_owned());
    put("command", stage.command().to_owned());
    parameters
}

/// A shared document is named by its ARN.
fn name(document: &str) -> &str {
    document.rsplit('/').next().unwrap_or(document)
}

/// Whether a document is one of ours.
pub(crate) fn is_ours(document: &str) -> bool {
    name(document).starts_with(OUR_DOCUMENTS)
}

pub(crate) async fn send<O: Outside>(
    outside: &O,
    command: &SendCommand,
) -> Result<String, (StageResult, String)> {
    let mut sends = 0;
    loop {
        match outside.send(command).await {
            Ok(command_id) => return Ok(command_id),
            Err(fault) if fault.kind == FaultKind::Retry && sends < SENDS_MAX => {
                outside.sleep_ms(SEND_WAIT_MS << sends).await;
                sends += 1;
            }
            Err(fault) if fault.kind == FaultKind::Unknown => {
                return Err((StageResult::Unknown, fault.to_string()));
            }
            Err(fault) => return Err((StageResult::NotSent, fault.to_string())),
        }
    }
}

enum Watched {
    Ended(CommandState),
    NotDelivered,
    OutOfTime,
}

/// Polls until the command ended. The script's own time runs from the moment that SSM
/// calls it running, since a slow delivery is not the script's fault.
async fn watch<O: Outside>(
    outside: &O,
    order: &Order,
    command_id: &str,
    stage: Stage,
    timeout_secs: u32,
) -> Watched {
    let sent_ms = outside.now_ms();
    let mut running_since_ms = None;
    loop {
        // A failed poll says nothing about the command; the time limits end the loop.
        if let Ok(state) = outside.state(command_id, &order.instance_id, None).await {
            match state.progress {
                Progress::Waiting => {}
                Progress::Running => {
                    running_since_ms.get_or_insert(outside.now_ms());
                }
                Progress::Succeeded
                | Progress::Failed
                | Progress::OutOfTime
                | Progress::Cancelled
                | Progress::GivenUp
                | Progress::NeverRan => return Watched::Ended(state),
            }
        }
        let now_ms = outside.now_ms();
        let (since_ms, allowed_secs) = match running_since_ms {
            Some(since_ms) => (since_ms, timeout_secs),
            None => (sent_ms, DELIVERY_SECS + timeout_secs),
        };
        if now_ms.saturating_sub(since_ms) >= u64::from(allowed_secs) * 1_000 {
            // Best effort: what is still running is ended by the post-script's thaw.
            drop(outside.cancel(command_id, &order.instance_id).await);
            return match running_since_ms {
                Some(_) => Watched::OutOfTime,
                None => Watched::NotDelivered,
            };
        }
        let often = stage == Stage::Pre && now_ms.saturating_sub(sent_ms) < POLL_OFTEN_FOR_MS;
        outside.sleep_ms(if often { POLL_MS } else { POLL_SLOWLY_MS }).await;
    }
}

fn end_of(
    stage: Stage,
    watched: Watched,
    timeout_secs: u32,
    command_id: Option<String>,
) -> CommandEnd {
    let name = stage.command();
    let timed_out = |text: String| {
        let code = match stage {
            Stage::Pre => Code::PreTimedOut,
            Stage::Post => Code::ThawUnconfirmed,
        };
        ended(
            StageResult::TimedOut,
            command_id.clone(),
            None,
            Proof::None,
            Some(Cause::new(code, text)),
        )
    };
    match watched {
        Watched::OutOfTime => timed_out(format!(
            "{name} did not end within ExecutionTimeout, {timeout_secs} s; it was cancelled"
        )),
        Watched::NotDelivered => timed_out(format!(
            "SSM did not show {name} as running within {} s; it was cancelled",
            DELIVERY_SECS + timeout_secs
        )),
        Watched::Ended(state) => {
            let proof = proof(&state);
            let exit_code = state.exit_code;
            match state.progress {
                Progress::Succeeded => ended(StageResult::Ok, command_id, exit_code, proof, None),
                Progress::NeverRan => {
                    let text = format!("SSM did not run {name}: {}", state.details);
                    let cause = Cause::new(Code::NotSent, text);
                    ended(StageResult::NotSent, command_id, exit_code, proof, Some(cause))
                }
                Progress::OutOfTime | Progress::Cancelled | Progress::GivenUp => {
                    timed_out(format!("SSM ended {name}: {}", state.details))
                }
                Progress::Waiting | Progress::Running | Progress::Failed => {
                    let cause =
                        Cause::new(failure_code(stage, exit_code), why(name, &state, &proof));
                    ended(StageResult::Failed, command_id, exit_code, proof, Some(cause))
                }
            }
        }
    }
}

fn failure_code(stage: Stage, exit_code: Option<i32>) -> Code {
    match (stage, exit_code) {
        (_, Some(206)) => Code::NotReady,
        (Stage::Pre, _) => Code::PreFailed,
        (Stage::Post, Some(203)) => Code::AutoThawed,
        (Stage::Post, _) => Code::ThawUnconfirmed,
    }
}

/// Exit codes as DLM's user guide gives them for pre and post scripts.
fn meaning(exit_code: i32) -> &'static str {
    match exit_code {
        201 => "the pre-script failed",
        202 => "the post-script failed",
        203 => "the auto-thaw came before the post-script",
        204 => "pre-script while a post-script was expected: something is held already",
        205 => "post-script while a pre-script was expected: nothing is held",
        206 => "not ready for it",
        _ => "an exit code of the document's own",
    }
}

fn why(name: &str, state: &CommandState, proof: &Proof) -> String {
    let head = match state.exit_code {
        Some(code) if code != 0 => format!("{name} exited with {code} ({})", meaning(code)),
        _ => format!("{name} failed: {}", state.details),
    };
    let words = match proof {
        Proof::Receipt { reason, .. } if !reason.is_empty() => reason.clone(),
        _ => last_line(&state.stderr).or_else(|| last_line(&state.stdout)).unwrap_or_default(),
    };
    if words.is_empty() { head } else { format!("{head}: {words}") }
}

pub(crate) fn last_line(output: &str) -> Option<String> {
    let line = output.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(WORDS_CHARS_MAX).collect())
}

/// What an output proves.
fn proof(state: &CommandState) -> Proof {
    match receipt::find(&state.stdout) {
        Ok(None) if is_skipped(state) => Proof::Skipped,
        Ok(None) => Proof::None,
        Ok(Some(receipt)) => proof_of(receipt),
        Err(why) => Proof::Unreadable { why },
    }
}

/// A document whose every step was skipped is a silent success to GetCommandInvocation.
/// Only the list of its steps says it; that is asked for when nothing is held any more.
async fn see_skipped<O: Outside>(
    outside: &O,
    order: &Order,
    command_id: &str,
    state: &mut CommandState,
) {
    let silent = state.stdout.trim().is_empty() && state.stderr.trim().is_empty();
    if silent && state.progress == Progress::Succeeded {
        let outputs = outside.step_outputs(command_id, &order.instance_id).await;
        state.stdout = outputs.unwrap_or_default().join("\n");
    }
}

/// Whether every line of the output is the agent's word for a step that was skipped.
pub(crate) fn is_skipped(state: &CommandState) -> bool {
    let mut lines = state.stdout.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    state.progress == Progress::Succeeded
        && lines.peek().is_some()
        && lines.all(|line| line.starts_with(SKIPPED))
}

fn proof_of(receipt: Receipt) -> Proof {
    let unbroken = receipt.hold.as_ref().is_some_and(|hold| hold.unbroken);
    let state = match receipt.state {
        HoldState::Held => ProofState::Held,
        HoldState::Released if unbroken => ProofState::ReleasedUnbroken,
        HoldState::Released | HoldState::Broken => ProofState::Broken,
        HoldState::AutoThawed => ProofState::AutoThawed,
        HoldState::Refused
        | HoldState::Failed
        | HoldState::NothingHeld
        | HoldState::AlreadyHeld
        | HoldState::Planned => ProofState::NoHold,
    };
    Proof::Receipt {
        state,
        execution_id: receipt.execution_id,
        boot_id: receipt.boot_id,
        volumes: receipt.frozen.into_iter().flat_map(|frozen| frozen.volumes).collect(),
        frozen_ms: receipt.hold.and_then(|hold| hold.frozen_ms),
        reason: receipt.reason,
    }
}

pub(crate) fn ended(
    result: StageResult,
    command_id: Option<String>,
    exit_code: Option<i32>,
    proof: Proof,
    cause: Option<Cause>,
) -> CommandEnd {
    let words = cause.as_ref().map(|cause| cause.text.clone()).unwrap_or_default();
    let report = StageReport {
        result,
        execution_id: String::new(),
        command_id,
        exit_code,
        cause: words,
        proof,
        started_ms: 0,
        ended_ms: 0,
    };
    CommandEnd { report, cause }
}

pub(crate) fn finish(
    mut end: CommandEnd,
    execution_id: &str,
    started_ms: u64,
    ended_ms: u64,
) -> CommandEnd {
    execution_id.clone_into(&mut end.report.execution_id);
    end.report.started_ms = started_ms;
    end.report.ended_ms = ended_ms;
    end
}
