//! How a job ends: what stays is kept, what was changed goes back, what is of no use is marked.

use std::collections::BTreeMap;

use crate::job::{Act, Fact, Job, Next, Phase, Verdict};
use crate::next::{detach, failed, reached, there};
use crate::order::Goal;
use crate::world::World;

/// Before anybody is told that it is theirs. With a new instance comes what its image brought.
pub(crate) fn keep(job: &Job, world: &World) -> Next {
    let mut kept = job.made();
    for volume_id in &kept {
        if !exists(world, volume_id) {
            return failed(format!("{volume_id} is gone"));
        }
    }
    if matches!(job.order.goal, Goal::NewInstance { .. }) {
        let instance = match there(job, world) {
            Ok(instance) => instance,
            Err(next) => return *next,
        };
        let brought = instance.attached.values().filter(|one| !kept.contains(*one));
        let brought: Vec<String> = brought.cloned().collect();
        kept.extend(brought);
        kept.push(instance.instance_id.clone());
    }
    // The way back makes nothing.
    if kept.is_empty() { reached(Phase::Discard) } else { Next::Act(Act::Keep(kept)) }
}

/// What is of no use: everything of a drill, and of a restore that failed everything it made. The
/// volumes of a restore that succeeded are what it is for; those that they replaced are kept. What
/// is gone by now needs no mark.
pub(crate) fn discard(job: &Job, world: &World) -> Next {
    let good = job.verdict.as_ref().is_none_or(|verdict| *verdict == Verdict::Good);
    let mut discard = vec![];
    if job.order.is_drill() || !good {
        discard.extend(job.made());
    }
    let launched = matches!(job.order.goal, Goal::NewInstance { .. });
    let old = job.old.clone().unwrap_or_default();
    if launched {
        // The root volume that the image brought, replaced or not, is nobody's.
        discard.extend(old.values().cloned());
    }
    discard.retain(|id| exists(world, id));
    if let (true, false, Ok(instance)) = (launched, good, there(job, world)) {
        let brought = instance.attached.values().filter(|one| !discard.contains(*one));
        let brought: Vec<String> = brought.cloned().collect();
        discard.extend(brought);
        discard.push(instance.instance_id.clone());
    }
    let replaced = match job.order.goal {
        Goal::Instance { .. } if good => {
            let there = old.into_iter().filter(|(_, id)| exists(world, id));
            there.map(|(device, id)| (id, device)).collect()
        }
        _ => BTreeMap::new(),
    };
    if discard.is_empty() && replaced.is_empty() {
        return Next::Note(Fact::Marked);
    }
    Next::Act(Act::Mark { discard, replaced })
}

/// A drill's copies are in nobody's way, so they may be detached whenever that works.
pub(crate) fn settle(job: &Job, world: &World) -> Next {
    if job.order.is_drill() {
        let lost = job.lost.iter().cloned().collect();
        let next = detach(job, world, lost, Phase::Done);
        if next != reached(Phase::Done) {
            return next;
        }
    }
    if job.owed { discard(job, world) } else { reached(Phase::Done) }
}

fn exists(world: &World, volume_id: &str) -> bool {
    let state = world.volumes.get(volume_id).map(|one| one.state.as_str());
    state.is_some_and(|state| !matches!(state, "deleting" | "deleted"))
}

/// An instance that was started with the new volumes is stopped before they are taken from it.
pub(crate) fn take_out(job: &Job, world: &World) -> Next {
    let volumes = not_lost(job);
    let Ok(instance) = there(job, world) else { return reached(Phase::PutBack) };
    let inside =
        |id: &String| world.volumes.get(id).is_some_and(|one| one.instance_id == job.instance_id);
    if volumes.iter().any(inside) && !job.lost.contains(&instance.instance_id) {
        match instance.state.as_str() {
            "running" => return Next::Act(Act::Stop(instance.instance_id.clone())),
            "pending" | "stopping" => return Next::Wait("the instance to stop"),
            _ => {}
        }
    }
    detach(job, world, volumes, Phase::PutBack)
}

pub(crate) fn not_lost(job: &Job) -> Vec<String> {
    job.volumes.values().filter(|one| !job.lost.contains(*one)).cloned().collect()
}
