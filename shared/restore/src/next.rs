//! What comes next: all branching of a job is here.

use std::collections::BTreeMap;

use crate::end::{discard, keep, not_lost, settle, take_out};
use crate::job::{Act, Fact, Job, Next, Phase, Verdict};
use crate::order::{Goal, Item, Source};
use crate::world::{CommandSeen, InstanceSeen, World};

/// The drill's document verified everything.
const VERIFIED: i32 = 0;
/// Systems Manager shows a command in its list within seconds. Two verifications at once would find
/// the filesystems of each other damaged.
const LISTED_MS: u64 = 60_000;
/// What AWS has not done so long after the job's time is over, it may never do: a volume can stay
/// `detaching` for as long as its instance keeps it mounted. Somebody has to be told.
const WAY_BACK_MS: u64 = 60 * 60 * 1_000;
/// Below this an exit code says that the host was not able to verify; from it on, up to
/// [`UNFIT_MAX`], that the set is no good.
const UNFIT_MIN: i32 = 20;
const UNFIT_MAX: i32 = 39;

/// What is to be done, or what has become true.
#[must_use]
pub fn next(job: &Job, world: &World, now_ms: u64) -> Next {
    let keeps = job.phase == Phase::Keep;
    let deadline_ms = if keeps { job.order.keep_by_ms() } else { job.order.deadline_ms };
    if job.phase < Phase::TakeOut && now_ms > deadline_ms {
        return Next::Note(Fact::Failed(format!("not over in time, in phase {:?}", job.phase)));
    }
    let next = match job.phase {
        Phase::Launch => launch(job, world),
        Phase::Create => create(job, world),
        Phase::Stop => stop(job, world),
        Phase::Detach => detach(job, world, old(job), Phase::Attach),
        Phase::Attach => attach(job, world, &new(job), after_attach(job)),
        Phase::Start => start(job, world, Phase::Keep),
        Phase::Verify => verify(job, world, now_ms),
        Phase::Keep => keep(job, world),
        Phase::TakeOut => take_out(job, world),
        Phase::Release => detach(job, world, not_lost(job), Phase::Discard),
        Phase::PutBack => attach(job, world, &back(job), Phase::StartAgain),
        Phase::StartAgain => start(job, world, Phase::Discard),
        Phase::Discard => discard(job, world),
        Phase::Report => Next::Act(Act::Report),
        Phase::Settle => settle(job, world),
        Phase::Done => Next::Nothing,
    };
    let is_back = (Phase::TakeOut..=Phase::Release).contains(&job.phase);
    let is_late = is_back && now_ms > job.order.deadline_ms.saturating_add(WAY_BACK_MS);
    if !is_late || !matches!(next, Next::Wait(_)) {
        return next;
    }
    match unsettled(job, world) {
        ids if ids.is_empty() => next,
        ids => Next::Note(Fact::GivenUp(ids)),
    }
}

/// What the way back waits for.
fn unsettled(job: &Job, world: &World) -> Vec<String> {
    let at = |id: &String| world.volumes.get(id)?.instance_id.clone();
    let is_here = |id: &String| at(id) == job.instance_id;
    let attached = |id: &String| {
        let attachment = world.volumes.get(id).map(|one| one.attachment.as_str());
        is_here(id) && matches!(attachment, Some("attached" | "busy"))
    };
    match job.phase {
        Phase::StartAgain => job.instance_id.iter().cloned().collect(),
        Phase::PutBack => {
            old(job).into_iter().filter(|id| !attached(id) && !job.lost.contains(id)).collect()
        }
        _ => not_lost(job).into_iter().filter(is_here).collect(),
    }
}

/// What a refusal means; none where the next driver asks again, since it is owed.
#[must_use]
pub fn refused(job: &Job, act: &Act, why: &str) -> Option<Fact> {
    match (job.phase, act) {
        (Phase::Report | Phase::Settle, _) => None,
        (Phase::Discard, _) => Some(Fact::Unmarked),
        (
            phase,
            Act::Attach { volume_id: id, .. } | Act::Detach(id) | Act::Stop(id) | Act::Start(id),
        ) if phase >= Phase::TakeOut => Some(Fact::Refused(id.clone())),
        _ => Some(Fact::Failed(why.to_owned())),
    }
}

pub(crate) fn failed(why: String) -> Next {
    Next::Note(Fact::Failed(why))
}

pub(crate) fn reached(phase: Phase) -> Next {
    Next::Note(Fact::Reached(phase))
}

fn launch(job: &Job, world: &World) -> Next {
    let Some(instance_id) = &job.instance_id else { return Next::Act(Act::Launch) };
    match &world.instance {
        Some(instance) if instance.state == "running" => {
            if job.zone.is_empty() {
                return Next::Note(Fact::InZone(instance.zone.clone()));
            }
            reached(Phase::Create)
        }
        Some(instance) if instance.state != "pending" => {
            failed(format!("{instance_id} is {} after its launch", instance.state))
        }
        _ => Next::Wait("the instance to run"),
    }
}

fn create(job: &Job, world: &World) -> Next {
    for item in &job.order.items {
        match (job.volumes.get(&item.device), &item.source) {
            (Some(_), _) => {}
            (None, Source::Snapshot(_)) => return Next::Act(Act::Create(item.clone())),
            (None, Source::Volume(volume_id)) => {
                let (device, volume_id) = (item.device.clone(), volume_id.clone());
                return Next::Note(Fact::Created { device, volume_id });
            }
        }
    }
    for volume_id in job.volumes.values() {
        match world.volumes.get(volume_id).map(|one| one.state.as_str()) {
            Some("available") => {}
            Some("error" | "deleting" | "deleted") => {
                return failed(format!("{volume_id} could not be made"));
            }
            Some("in-use") => return failed(format!("{volume_id} is in use by somebody else")),
            _ => return Next::Wait("the volumes to be made"),
        }
    }
    reached(match &job.order.goal {
        Goal::Volumes => Phase::Keep,
        Goal::Drill { .. } => Phase::Attach,
        Goal::Instance { .. } | Goal::NewInstance { .. } => Phase::Stop,
    })
}

/// The way back is on record before the first change.
fn stop(job: &Job, world: &World) -> Next {
    let instance = match there(job, world) {
        Ok(instance) => instance,
        Err(next) => return *next,
    };
    if job.old.is_none() {
        if instance.state == "stopping" || instance.state == "pending" {
            return Next::Wait("the instance to settle");
        }
        let places = job.order.items.iter().filter_map(|item| {
            let root = item.place.is_empty();
            let place = if root { &instance.root_device } else { &item.place };
            Some((place.clone(), instance.attached.get(place)?.clone()))
        });
        return Next::Note(Fact::Before {
            root_device: instance.root_device.clone(),
            was_running: instance.state == "running",
            old: places.collect(),
        });
    }
    match instance.state.as_str() {
        "stopped" => reached(Phase::Detach),
        // A new instance without its boot volume in the set may keep running.
        "running" if !needs_stop(job) => reached(Phase::Detach),
        "running" => Next::Act(Act::Stop(instance.instance_id.clone())),
        _ => Next::Wait("the instance to stop"),
    }
}

fn needs_stop(job: &Job) -> bool {
    let replaced = job.old.as_ref().is_some_and(|old| !old.is_empty());
    replaced || matches!(job.order.goal, Goal::Instance { .. })
}

pub(crate) fn detach(job: &Job, world: &World, volumes: Vec<String>, after: Phase) -> Next {
    let mut waiting = false;
    for volume_id in volumes {
        let Some(seen) = world.volumes.get(&volume_id) else {
            // A volume that is gone is attached to nothing.
            continue;
        };
        match (&seen.instance_id, seen.attachment.as_str()) {
            (None, _) => {}
            (Some(other), _) if Some(other) != job.instance_id.as_ref() => {}
            (Some(_), "attached" | "busy") => return Next::Act(Act::Detach(volume_id)),
            (Some(_), _) => waiting = true,
        }
    }
    if waiting { Next::Wait("volumes to be detached") } else { reached(after) }
}

fn attach(job: &Job, world: &World, places: &BTreeMap<String, String>, after: Phase) -> Next {
    let instance = match there(job, world) {
        Ok(instance) => instance,
        // On the way back there is nothing to attach to any more.
        Err(_) if job.phase == Phase::PutBack => return reached(after),
        Err(next) => return *next,
    };
    let mut waiting = false;
    for (device, volume_id) in places {
        let Some(seen) = world.volumes.get(volume_id) else {
            if job.phase == Phase::PutBack {
                continue;
            }
            return failed(format!("{volume_id} is gone"));
        };
        if job.lost.contains(volume_id) {
            continue;
        }
        match (seen.instance_id.as_deref(), seen.attachment.as_str()) {
            (Some(at), "attached" | "busy") if at == instance.instance_id => {}
            (Some(at), _) if at == instance.instance_id => waiting = true,
            (Some(at), _) if job.phase != Phase::PutBack => {
                return failed(format!("{volume_id} is attached to {at}"));
            }
            (Some(_), _) => {}
            (None, _) if seen.state == "available" => {
                return Next::Act(Act::Attach {
                    volume_id: volume_id.clone(),
                    instance_id: instance.instance_id.clone(),
                    device: device.clone(),
                });
            }
            (None, _) => waiting = true,
        }
    }
    if waiting { Next::Wait("volumes to be attached") } else { reached(after) }
}

fn start(job: &Job, world: &World, after: Phase) -> Next {
    let instance = match there(job, world) {
        Ok(instance) => instance,
        Err(_) if job.phase == Phase::StartAgain => return reached(after),
        Err(next) => return *next,
    };
    match instance.state.as_str() {
        _ if !job.was_running || job.lost.contains(&instance.instance_id) => reached(after),
        "running" => reached(after),
        "stopped" => Next::Act(Act::Start(instance.instance_id.clone())),
        _ => Next::Wait("the instance to start"),
    }
}

fn verify(job: &Job, world: &World, now_ms: u64) -> Next {
    let instance = match there(job, world) {
        Ok(instance) => instance,
        Err(next) => return *next,
    };
    if job.command_id.is_none() {
        let volumes = job.volumes.iter().map(|(device, volume)| (volume.clone(), device.clone()));
        let (instance_id, volumes) = (instance.instance_id.clone(), volumes.collect());
        return match job.sending_ms {
            None => Next::ActOnRecord(Fact::Sending(now_ms), Act::Verify { instance_id, volumes }),
            Some(since_ms) if now_ms < since_ms + LISTED_MS => {
                Next::Wait("a verification that may have been sent to show")
            }
            Some(since_ms) => Next::Act(Act::Find { instance_id, since_ms }),
        };
    }
    match &world.command {
        None | Some(CommandSeen::Running) => Next::Wait("the verification"),
        Some(CommandSeen::Ended { exit_code, words }) => {
            let why = words.clone();
            Next::Note(Fact::Judged(match *exit_code {
                VERIFIED => Verdict::Good,
                exit_code @ UNFIT_MIN..=UNFIT_MAX => Verdict::Bad { exit_code, why },
                other => Verdict::NotDone { why: format!("exit code {other}: {why}") },
            }))
        }
        Some(CommandSeen::Lost { words }) => {
            Next::Note(Fact::Judged(Verdict::NotDone { why: words.clone() }))
        }
    }
}

pub(crate) fn there<'w>(job: &Job, world: &'w World) -> Result<&'w InstanceSeen, Box<Next>> {
    match &world.instance {
        Some(one) if !matches!(one.state.as_str(), "terminated" | "shutting-down") => Ok(one),
        _ => {
            let id = job.instance_id.as_deref().unwrap_or("the instance");
            Err(Box::new(failed(format!("{id} is gone"))))
        }
    }
}

fn old(job: &Job) -> Vec<String> {
    job.old.iter().flat_map(BTreeMap::values).cloned().collect()
}

/// The places of the new volumes.
fn new(job: &Job) -> BTreeMap<String, String> {
    let place = |item: &Item| {
        let volume = job.volumes.get(&item.device)?.clone();
        Some((job.place(item).to_owned(), volume))
    };
    job.order.items.iter().filter_map(place).collect()
}

/// The places of the old ones.
fn back(job: &Job) -> BTreeMap<String, String> {
    job.old.clone().unwrap_or_default()
}

fn after_attach(job: &Job) -> Phase {
    if job.order.is_drill() { Phase::Verify } else { Phase::Start }
}
