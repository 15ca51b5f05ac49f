//! The whole: who manages a set, what its queues say, and what is to be done now.

use std::collections::BTreeMap;

use crate::decision::{Action, Decision, Plan};
use crate::inventory::{Inventory, Kind, Snapshot, State};
use crate::queue::{Fate, Queue};
use crate::reason::{Flaw, Reason};
use crate::rules::{Keep, Policy, Schedule, Settings};
use crate::set::{Set, assemble};

/// A deletion that was begun goes on for so long; what is there after it came back.
const DELETION_MS: u64 = 60 * 60 * 1_000;

/// Policy, schedule, instance, and whether it is about copies.
type QueueKey<'a> = (&'a str, &'a str, &'a str, Kind);

/// Decides about every set of an inventory.
#[must_use]
pub fn plan(inventory: &Inventory, policies: &[Policy], settings: &Settings, now_ms: u64) -> Plan {
    let (sets, foreign) = assemble(inventory);
    let mut fates: Vec<Option<Fate>> = vec![None; sets.len()];
    let mut unmanaged: Vec<Option<Reason>> = vec![None; sets.len()];
    let mut queues: BTreeMap<QueueKey<'_>, (Queue<'_>, Vec<usize>)> = BTreeMap::new();
    for (index, set) in sets.iter().enumerate() {
        match managed(set, inventory, policies, now_ms) {
            Err(reason) => unmanaged[index] = Some(reason),
            Ok(by) => {
                let owned = set.owned();
                for (schedule, keep) in by {
                    let instance = owned.instance_id.as_str();
                    let key = (owned.policy_id.as_str(), schedule.name.as_str(), instance);
                    let gone = !inventory.instances.contains_key(instance);
                    let (queue, indices) =
                        queues.entry((key.0, key.1, key.2, owned.kind)).or_insert_with(|| {
                            (Queue { schedule, keep, gone, sets: Vec::new() }, Vec::new())
                        });
                    queue.sets.push(set);
                    indices.push(index);
                }
            }
        }
    }
    for (queue, indices) in queues.values() {
        for (index, fate) in indices.iter().zip(queue.judge(now_ms)) {
            let stays = matches!(fates[*index], Some(Fate::Stays(_)));
            // Of several schedules the one that keeps it longest counts.
            if !stays {
                fates[*index] = Some(fate);
            }
        }
    }
    let decided = sets.iter().zip(fates).zip(unmanaged).map(|((set, fate), unmanaged)| {
        let schedule = policies
            .iter()
            .find(|policy| policy.id == set.owned().policy_id)
            .and_then(|policy| policy.schedules.iter().find(|one| belongs(set, one)));
        let (action, reason) = match (unmanaged, fate) {
            (Some(reason), _) => (Action::Keep, reason),
            (None, Some(fate)) => action(set, fate, settings, now_ms),
            // A managed set is in at least one queue.
            (None, None) => (Action::Keep, Reason::NoSuchSchedule),
        };
        let flaw = set.flaw(schedule.is_some_and(|one| one.require_application));
        decision(&set.snapshots, flaw, action, reason)
    });
    let foreign =
        foreign.iter().map(|one| decision(&[one], None, Action::Keep, Reason::NotProvenOurs));
    Plan { decisions: decided.chain(foreign).collect() }
}

/// The schedules that a set is kept by, each with its rule; or why nobody manages it.
fn managed<'p>(
    set: &Set<'_>,
    inventory: &Inventory,
    policies: &'p [Policy],
    now_ms: u64,
) -> Result<Vec<(&'p Schedule, Keep)>, Reason> {
    let owned = set.owned();
    let policy =
        policies.iter().find(|one| one.id == owned.policy_id).ok_or(Reason::NoSuchPolicy)?;
    if !policy.enabled {
        return Err(Reason::PolicyNotEnabled);
    }
    if set.is_archived() {
        return Err(Reason::Archived);
    }
    if set.snapshots.iter().any(|one| one.state == State::Recoverable) {
        return Err(Reason::InRecycleBin);
    }
    if set.deleting_ms().is_some_and(|begun| now_ms > begun.saturating_add(DELETION_MS)) {
        return Err(Reason::CameBack);
    }
    let schedules: Vec<&Schedule> =
        policy.schedules.iter().filter(|schedule| belongs(set, schedule)).collect();
    if schedules.is_empty() {
        return Err(Reason::NoSuchSchedule);
    }
    let targeted = match inventory.instances.get(&owned.instance_id) {
        Some(policies) if !policies.contains(&policy.id) => return Err(Reason::NotTargeted),
        Some(_) => true,
        None => false,
    };
    if owned.kind == Kind::Copy {
        let asking = schedules.into_iter().filter(|one| one.copies);
        let copies: Vec<_> = asking.map(|one| (one, Keep::Age)).collect();
        return if copies.is_empty() { Err(Reason::CopiesNotManaged) } else { Ok(copies) };
    }
    if !targeted && schedules.iter().any(|one| matches!(one.keep, Keep::Count(_))) {
        return Err(Reason::InstanceGone);
    }
    Ok(schedules.into_iter().map(|one| (one, one.keep)).collect())
}

fn belongs(set: &Set<'_>, schedule: &Schedule) -> bool {
    set.owned().schedules.contains(&schedule.name)
}

fn action(set: &Set<'_>, fate: Fate, settings: &Settings, now_ms: u64) -> (Action, Reason) {
    match fate {
        // What is begun is ended: what is left of it is no set any more.
        Fate::Stays(_) if begun(set) => (Action::Delete, Reason::DeletionBegun),
        Fate::Stays(reason) if set.is_marked_at_all() || set.deleting_ms().is_some() => {
            (Action::Unmark, reason)
        }
        Fate::Stays(reason) => (Action::Keep, reason),
        // There is nothing to lose, and EC2 counts it among those in progress.
        Fate::Goes(Reason::Failed) => (Action::Delete, Reason::Failed),
        Fate::Goes(reason) => match set.delete_after_ms() {
            Some(delete_after_ms) if now_ms < delete_after_ms => {
                (Action::Wait { delete_after_ms }, reason)
            }
            Some(_) => (Action::Delete, reason),
            None => {
                let delete_after_ms = now_ms.saturating_add(settings.grace_ms);
                (Action::Mark { delete_after_ms }, reason)
            }
        },
    }
}

/// Whether a part of it is deleted already, by us, and the rest can be.
fn begun(set: &Set<'_>) -> bool {
    let missing = set.owned().set_size.is_some_and(|size| set.snapshots.len() < size);
    let free = set.snapshots.iter().all(|one| one.lock.is_none() && one.image_id.is_none());
    missing && free && set.deleting_ms().is_some()
}

fn decision(
    snapshots: &[&Snapshot],
    flaw: Option<Flaw>,
    action: Action,
    reason: Reason,
) -> Decision {
    let owned = &snapshots[0].owned;
    Decision {
        set_id: owned.set_id.clone(),
        policy_id: owned.policy_id.clone(),
        schedules: owned.schedules.clone(),
        instance_id: owned.instance_id.clone(),
        copy: owned.kind == Kind::Copy,
        started_ms: snapshots.iter().map(|one| one.started_ms).min().unwrap_or(0),
        snapshot_ids: snapshots.iter().map(|one| one.snapshot_id.clone()).collect(),
        flaw,
        action,
        reason,
    }
}
