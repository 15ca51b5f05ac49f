//! What comes next: all branching of a job is here.

use std::collections::BTreeMap;

use crate::job::{Act, Fact, Job, Next, Phase, Verdict};
use crate::order::{Goal, Item, Source};
use crate::world::{CommandSeen, InstanceSeen, World};

/// The drill's document verified everything.
const VERIFIED: i32 = 0;
/// Below this an exit code says that the host was not able to verify; from it on, up to
/// [`UNFIT_MAX`], that the set is no good.
const UNFIT_MIN: i32 = 20;
const UNFIT_MAX: i32 = 39;

/// What is to be done, or what has become true.
#[must_use]
pub fn next(job: &Job, world: &World, now_ms: u64) -> Next {
    if job.phase < Phase::TakeOut && now_ms > job.order.deadline_ms {
        return Next::Note(Fact::Failed(format!("not over in time, in phase {:?}", job.phase)));
    }
    match job.phase {
        Phase::Launch => launch(job, world),
        Phase::Create => create(job, world),
        Phase::Stop => stop(job, world),
        Phase::Detach => detach(job, world, &old(job), Phase::Attach),
        Phase::Attach => attach(job, world, &new(job), after_attach(job)),
        Phase::Start => start(job, world, Phase::Discard),
        Phase::Verify => verify(job, world),
        Phase::TakeOut | Phase::Release => {
            let volumes: Vec<String> = job.volumes.values().cloned().collect();
            let release = job.phase == Phase::Release;
            let after = if release { Phase::Discard } else { Phase::PutBack };
            detach(job, world, &volumes, after)
        }
        Phase::PutBack => attach(job, world, &back(job), Phase::StartAgain),
        Phase::StartAgain => start(job, world, Phase::Discard),
        Phase::Discard => discard(job),
        Phase::Report => Next::Act(Act::Report),
        Phase::Done => Next::Nothing,
    }
}

/// What a refusal means: EC2 will not do it, however often it is asked.
#[must_use]
pub fn refused(job: &Job, act: &Act, why: &str) -> Fact {
    match (job.phase, act) {
        (Phase::PutBack, Act::Attach { volume_id, .. }) | (_, Act::Detach(volume_id))
            if job.phase >= Phase::TakeOut =>
        {
            Fact::Lost(volume_id.clone())
        }
        (Phase::StartAgain, _) => Fact::Reached(Phase::Discard),
        (Phase::Discard, _) => Fact::Reached(Phase::Report),
        _ => Fact::Failed(why.to_owned()),
    }
}

fn failed(why: String) -> Next {
    Next::Note(Fact::Failed(why))
}

fn reached(phase: Phase) -> Next {
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
        Goal::Volumes => Phase::Discard,
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

fn detach(job: &Job, world: &World, volumes: &[String], after: Phase) -> Next {
    let mut waiting = false;
    for volume_id in volumes.iter().filter(|one| !job.lost.contains(*one)) {
        let Some(seen) = world.volumes.get(volume_id) else {
            // A volume that is gone is attached to nothing.
            continue;
        };
        match (&seen.instance_id, seen.attachment.as_str()) {
            (None, _) => {}
            (Some(other), _) if Some(other) != job.instance_id.as_ref() => {}
            (Some(_), "attached" | "busy") => return Next::Act(Act::Detach(volume_id.clone())),
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
        _ if !job.was_running => reached(after),
        "running" => reached(after),
        "stopped" => Next::Act(Act::Start(instance.instance_id.clone())),
        _ => Next::Wait("the instance to start"),
    }
}

fn verify(job: &Job, world: &World) -> Next {
    let instance = match there(job, world) {
        Ok(instance) => instance,
        Err(next) => return *next,
    };
    if job.command_id.is_none() {
        let volumes = job.volumes.iter().map(|(device, volume)| (volume.clone(), device.clone()));
        let instance_id = instance.instance_id.clone();
        return Next::Act(Act::Verify { instance_id, volumes: volumes.collect() });
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

/// What is of no use: everything of a drill, and of a restore that failed everything it made. The
/// volumes of a restore that succeeded are what it is for; those that they replaced are kept.
fn discard(job: &Job) -> Next {
    let good = job.verdict.as_ref().is_none_or(|verdict| *verdict == Verdict::Good);
    let mut discard = vec![];
    if job.order.is_drill() || !good {
        let made = job.order.items.iter().filter(|one| matches!(one.source, Source::Snapshot(_)));
        discard.extend(made.filter_map(|item| job.volumes.get(&item.device).cloned()));
    }
    let launched = matches!(job.order.goal, Goal::NewInstance { .. });
    let old = job.old.clone().unwrap_or_default();
    if launched {
        // The root volume that the image brought, replaced or not, is nobody's.
        discard.extend(old.values().cloned());
        if !good {
            discard.extend(job.instance_id.clone());
        }
    }
    let replaced = match job.order.goal {
        Goal::Instance { .. } if good => old.into_iter().map(|(device, id)| (id, device)).collect(),
        _ => BTreeMap::new(),
    };
    if discard.is_empty() && replaced.is_empty() {
        return reached(Phase::Report);
    }
    Next::Act(Act::Mark { discard, replaced })
}

fn there<'w>(job: &Job, world: &'w World) -> Result<&'w InstanceSeen, Box<Next>> {
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
