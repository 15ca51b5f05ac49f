//! All branching: what an answer means for a run in its phase.
//!
//! An answer that does not belong to the phase yields no facts. That is deliberate:
//! a late answer must never move a run that went on without it.

use crate::{
    Cause, Code, CommandEnd, CreateCall, Fact, Phase, Run, Seen, Sent, SnapshotSet, StageResult,
    judge, vss,
};

/// How often CreateSnapshots is repeated while nothing is held. With the doubling wait
/// of [`crate::owed`] this bridges the 15 s that EC2 wants between two snapshots of one
/// volume, and an emptied bucket of requests.
const THROTTLES_MAX: u32 = 5;

/// What becomes true of `run` by `seen`. Pure; time comes in with the answers.
#[must_use]
pub fn decide(run: &Run, seen: &Seen) -> Vec<Fact> {
    match run.phase {
        Phase::New => match seen {
            Seen::Begin { now_ms, .. } if *now_ms > run.order.start_before_ms => {
                vec![ends_without_set(
                    run,
                    Code::TooLate,
                    format!(
                        "the request came {} s after the end of its start window",
                        (now_ms - run.order.start_before_ms) / 1_000
                    ),
                )]
            }
            Seen::Begin { next_execution_id, .. } => vec![first_step(run, next_execution_id)],
            _ => vec![],
        },
        Phase::PreScript => match seen {
            // Whoever drove the run is gone: the pre-script may have run, a set may exist.
            Seen::Begin { now_ms, .. } => vec![interrupted(run, *now_ms)],
            Seen::Script { end, next_execution_id } => pre_ended(run, end, next_execution_id),
            _ => vec![],
        },
        Phase::Vss => of_vss(run, seen),
        Phase::Snapshot | Phase::Fallback => match seen {
            Seen::Begin { now_ms, .. } => vec![interrupted(run, *now_ms)],
            Seen::Created(set, call) => created(run, set, *call),
            Seen::CreateRefused { cause, call } => refused(run, cause, *call),
            Seen::CreateLost { why, call } => {
                vec![Fact::CreateUncertain(Cause::new(Code::ReplyLost, why.clone()), *call)]
            }
            _ => vec![],
        },
        Phase::PostScript => match seen {
            Seen::Begin { now_ms, .. } => vec![interrupted(run, *now_ms)],
            Seen::Script { end, next_execution_id } => post_ended(run, end, next_execution_id),
            _ => vec![],
        },
        Phase::Settle => match seen {
            // A VSS document that ended while nobody looked leaves no doubt.
            Seen::Begin { now_ms, .. } if run.vss.is_none() => vec![interrupted(run, *now_ms)],
            Seen::Found { set, next_execution_id } => match vss::all_of_it(run, set.as_ref()) {
                Some(set) => then_judge(run, vec![Fact::SetAdopted(set)]),
                None => then_without_set(run, vec![Fact::NoSetFound], next_execution_id),
            },
            _ => vec![],
        },
        Phase::Report => match seen {
            Seen::Reported => vec![Fact::Finished],
            _ => vec![],
        },
        Phase::Done => vec![],
    }
}

fn interrupted(run: &Run, now_ms: u64) -> Fact {
    Fact::Interrupted { over: now_ms > run.order.start_before_ms }
}

fn first_step(run: &Run, next_execution_id: &str) -> Fact {
    let Some(script) = &run.order.script else {
        return Fact::NoScript(Cause::new(
            Code::NoScript,
            "the schedule has no pre/post script, so nothing was quiesced",
        ));
    };
    match &script.skip {
        None => attempt(run, next_execution_id),
        Some(why) if script.fallback => {
            Fact::NoScript(Cause::new(Code::ScriptSkipped, why.clone()))
        }
        Some(why) => ends_without_set(
            run,
            Code::ScriptSkipped,
            format!("{why}; ExecuteOperationOnScriptFailure is false, so no snapshot was made"),
        ),
    }
}

/// The end of a run that touched nothing.
fn ends_without_set(run: &Run, code: Code, text: String) -> Fact {
    Fact::Judged(judge(&Run { doubt: Some(Cause::new(code, text)), ..run.clone() }))
}

/// A driver that died while the document ran leaves no doubt: the command goes on without
/// it, and is watched by the next one.
fn of_vss(run: &Run, seen: &Seen) -> Vec<Fact> {
    let not_yet = run.vss.as_ref().is_some_and(|vss| vss.sent == Sent::NotYet);
    match seen {
        Seen::Begin { .. } | Seen::SendLost if not_yet => vec![Fact::SendUncertain],
        Seen::Sent { command_id, now_ms } => {
            vec![Fact::CommandSent { command_id: command_id.clone(), at_ms: *now_ms }]
        }
        Seen::Script { end, next_execution_id } => {
            let ended = Fact::VssEnded(end.report.clone(), end.cause.clone());
            if not_yet && end.report.result == StageResult::NotSent {
                then_without_set(run, vec![ended], next_execution_id)
            } else {
                vec![ended]
            }
        }
        _ => vec![],
    }
}

fn attempt(run: &Run, execution_id: &str) -> Fact {
    Fact::AttemptStarted { attempt: run.attempt + 1, execution_id: execution_id.to_owned() }
}

fn pre_ended(run: &Run, end: &CommandEnd, next_execution_id: &str) -> Vec<Fact> {
    let ended = Fact::PreEnded(end.report.clone(), end.cause.clone());
    match end.report.result {
        // It certainly did not run, so there is nothing to release.
        StageResult::NotSent => then_without_set(run, vec![ended], next_execution_id),
        StageResult::Ok | StageResult::Failed | StageResult::TimedOut | StageResult::Unknown => {
            vec![ended]
        }
    }
}

fn created(run: &Run, set: &SnapshotSet, call: CreateCall) -> Vec<Fact> {
    let fact = Fact::SetCreated(set.clone(), call);
    if run.post_follows() { vec![fact] } else { then_judge(run, vec![fact]) }
}

fn refused(run: &Run, cause: &Cause, call: CreateCall) -> Vec<Fact> {
    let may_be_held = run.phase == Phase::Snapshot && run.thaw_owed.is_some();
    let later = cause.code == Code::CreateThrottled;
    if may_be_held {
        // No waiting while something is held: release first, then see.
        vec![Fact::CreateFailed(cause.clone(), call)]
    } else if later && run.throttles < THROTTLES_MAX {
        vec![Fact::CreatePostponed(call)]
    } else {
        then_judge(run, vec![Fact::CreateFailed(cause.clone(), call)])
    }
}

fn post_ended(run: &Run, end: &CommandEnd, next_execution_id: &str) -> Vec<Fact> {
    let retries = run.order.script.as_ref().map_or(0, |script| script.retries);
    let allowed = match end.report.result {
        // It may never have reached the instance. That is no failure of the script, so
        // it is sent once more also where the policy allows no retries.
        StageResult::NotSent | StageResult::Unknown => retries.max(1),
        StageResult::Ok | StageResult::Failed | StageResult::TimedOut => retries,
    };
    let overtook = run.pre_may_come_until_ms().is_some_and(|until| end.report.started_ms < until);
    let released = end.report.says_nothing_held();
    let again = if released { overtook } else { run.post_tries < allowed || overtook };
    let ended = Fact::PostEnded { report: end.report.clone(), again };
    if again || run.set_uncertain {
        vec![ended]
    } else if run.set.is_some() {
        then_judge(run, vec![ended])
    } else {
        then_without_set(run, vec![ended], next_execution_id)
    }
}

/// No set exists and nothing is held any more: another attempt, a crash-consistent
/// set, or the end.
fn then_without_set(run: &Run, mut facts: Vec<Fact>, next_execution_id: &str) -> Vec<Fact> {
    let after = after(run, &facts);
    let allowed = after.order.script.as_ref().is_none_or(|script| script.fallback);
    let fallback = allowed && !after.over;
    // A lost CreateSnapshots, or a VSS document that may still run, may take effect yet.
    // Another call would be a second set that nobody asked for, so it ends here; a set
    // that appears carries the run's tag.
    let for_good = after.doubt.as_ref().is_some_and(|doubt| {
        matches!(
            doubt.code,
            Code::CreateRefused | Code::InstanceGone | Code::ReplyLost | Code::VssUncertain
        )
    });
    if !for_good && after.attempts_left() {
        facts.push(attempt(&after, next_execution_id));
    } else if !for_good && fallback {
        facts.push(Fact::FallbackChosen);
    } else {
        facts.push(Fact::Judged(judge(&after)));
    }
    facts
}

fn then_judge(run: &Run, mut facts: Vec<Fact>) -> Vec<Fact> {
    let verdict = judge(&after(run, &facts));
    facts.push(Fact::Judged(verdict));
    facts
}

fn after(run: &Run, facts: &[Fact]) -> Run {
    let mut after = run.clone();
    for fact in facts {
        crate::apply(&mut after, fact);
    }
    after
}
