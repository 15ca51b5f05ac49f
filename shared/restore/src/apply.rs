//! Writes down what has become true.

use crate::job::{Fact, Job, Phase, Verdict};
use crate::order::Goal;

/// What is refused on the way back may only be refused at the moment; nobody else asks again.
const TRIES: u32 = 5;

/// Changes the job by a fact, and by nothing else.
pub fn apply(job: &mut Job, fact: Fact) {
    match fact {
        Fact::Launched(instance_id) => job.instance_id = Some(instance_id),
        Fact::InZone(zone) => job.zone = zone,
        Fact::Created { device, volume_id } => {
            job.volumes.insert(device, volume_id);
        }
        Fact::Before { root_device, was_running, old } => {
            job.root_device = root_device;
            // A new instance was launched to run.
            job.was_running = was_running || matches!(job.order.goal, Goal::NewInstance { .. });
            job.old = Some(old);
        }
        Fact::Sending(now_ms) => job.sending_ms = Some(now_ms),
        Fact::NotSent => job.sending_ms = None,
        Fact::Sent(command_id) => job.command_id = Some(command_id),
        Fact::Judged(verdict) => {
            job.verdict = Some(verdict);
            job.phase = Phase::Release;
        }
        Fact::Refused(id) => {
            let refusals = job.refusals.entry(id.clone()).or_default();
            *refusals += 1;
            if *refusals >= TRIES {
                job.lost.insert(id);
            }
        }
        Fact::GivenUp(ids) => job.lost.extend(ids),
        Fact::Marked => {
            job.owed = false;
            job.phase = if job.phase == Phase::Discard { Phase::Report } else { Phase::Done };
        }
        // A mark that has to wait keeps nobody from being told.
        Fact::Unmarked => {
            job.owed = true;
            job.phase = Phase::Report;
        }
        Fact::Failed(why) => {
            // The first reason is the one that somebody has to know.
            job.verdict.get_or_insert(Verdict::NotDone { why });
            job.phase = after_failure(job);
        }
        Fact::Reached(phase) => {
            job.phase = phase;
            if phase >= Phase::Discard {
                job.verdict.get_or_insert(Verdict::Good);
            }
        }
    }
}

/// Back, if anything on an instance of somebody's was changed; else to the end.
fn after_failure(job: &Job) -> Phase {
    match job.order.goal {
        Goal::Drill { .. } => Phase::Release,
        Goal::Instance { .. } if job.old.is_some() => Phase::TakeOut,
        Goal::Instance { .. } | Goal::NewInstance { .. } | Goal::Volumes => Phase::Discard,
    }
}
