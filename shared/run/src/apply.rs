//! The only mutation of a run. Total: every fact has one meaning in every phase.

use crate::{Cause, Code, Fact, Phase, Run, Sent, StageResult, VssRun};

/// Makes `fact` true of `run`.
pub fn apply(run: &mut Run, fact: &Fact) {
    match fact {
        Fact::AttemptStarted { attempt, execution_id } => {
            run.attempt = *attempt;
            run.post_tries = 0;
            run.pre = None;
            run.post = None;
            run.vss = None;
            run.doubt = None;
            // A document that makes the set itself also releases what it froze.
            run.set_uncertain = run.is_vss();
            if run.is_vss() {
                let execution_id = execution_id.clone();
                run.vss = Some(VssRun { execution_id, sent: Sent::NotYet, report: None });
                run.phase = Phase::Vss;
                return;
            }
            run.thaw_owed = Some(execution_id.clone());
            let has_pre = run.order.script.as_ref().is_some_and(|script| script.pre);
            run.phase = if has_pre { Phase::PreScript } else { Phase::Snapshot };
        }
        Fact::NoScript(cause) => {
            run.doubt = Some(cause.clone());
            run.phase = Phase::Snapshot;
        }
        Fact::Interrupted { over } => {
            run.over |= *over;
            run.set_uncertain = true;
            if run.doubt.is_none() {
                run.doubt = Some(Cause::new(
                    Code::Interrupted,
                    "the function stopped half-way through this attempt",
                ));
            }
            run.phase = if run.thaw_owed.is_some() { Phase::PostScript } else { Phase::Settle };
        }
        Fact::PreEnded(report, cause) => {
            run.phase = match report.result {
                StageResult::Ok => Phase::Snapshot,
                StageResult::NotSent => {
                    run.thaw_owed = None;
                    Phase::PreScript
                }
                StageResult::Failed | StageResult::TimedOut | StageResult::Unknown => {
                    Phase::PostScript
                }
            };
            run.pre = Some(report.clone());
            run.doubt.clone_from(cause);
        }
        Fact::CommandSent { command_id, at_ms } => {
            if let Some(vss) = &mut run.vss {
                vss.sent = Sent::Yes { command_id: command_id.clone(), at_ms: *at_ms };
            }
        }
        Fact::SendUncertain => {
            if let Some(vss) = &mut run.vss {
                vss.sent = Sent::Uncertain;
            }
        }
        Fact::VssEnded(report, cause) => {
            run.doubt.clone_from(cause);
            run.phase = Phase::Settle;
            if let Some(vss) = &mut run.vss {
                vss.report = Some(report.clone());
                // What SSM refused has made nothing.
                run.set_uncertain =
                    report.result != StageResult::NotSent || vss.sent != Sent::NotYet;
            }
        }
        Fact::SetCreated(set, call) => {
            let follows = run.post_follows();
            run.set = Some(set.clone());
            run.create = Some(*call);
            if follows {
                run.phase = Phase::PostScript;
            }
        }
        Fact::CreateFailed(cause, call) => {
            run.create = Some(*call);
            run.doubt = Some(cause.clone());
            if run.phase == Phase::Snapshot && run.thaw_owed.is_some() {
                run.windows_throttled += u32::from(cause.code == Code::CreateThrottled);
                run.phase = Phase::PostScript;
            }
        }
        Fact::CreatePostponed(call) => {
            run.create = Some(*call);
            run.throttles += 1;
        }
        Fact::CreateUncertain(cause, call) => {
            run.create = Some(*call);
            run.doubt = Some(cause.clone());
            run.set_uncertain = true;
            let held = run.phase == Phase::Snapshot && run.thaw_owed.is_some();
            run.phase = if held { Phase::PostScript } else { Phase::Settle };
        }
        Fact::PostEnded { report, again } => {
            run.post_tries += 1;
            if report.says_nothing_held() && !*again {
                run.thaw_owed = None;
            }
            run.post = Some(report.clone());
            if !again && run.set_uncertain {
                run.phase = Phase::Settle;
            }
        }
        Fact::SetAdopted(set) => {
            run.set = Some(set.clone());
            run.set_uncertain = false;
        }
        Fact::NoSetFound => {
            run.set_uncertain = false;
            run.doubt.get_or_insert_with(|| {
                Cause::new(Code::VssFailed, "the document reported success and made no snapshot")
            });
        }
        Fact::FallbackChosen => run.phase = Phase::Fallback,
        Fact::Judged(verdict) => {
            run.verdict = Some(verdict.clone());
            run.phase = Phase::Report;
        }
        Fact::Finished => run.phase = Phase::Done,
    }
}
