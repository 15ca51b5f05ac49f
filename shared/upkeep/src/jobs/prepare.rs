//! From a request to an order, with reads only: what is shown to a person before anything is
//! changed is what is carried out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stillpoint_restore::{
    Launch, Order, RefusalCode, Refused, Selector, SetSeen, SnapshotSeen, Target, VolumeOptions,
    Wanted, choose, plan, undo,
};
use stillpoint_retention::{Kind, State};
use stillpoint_wire::{ids, tags, time};

use super::outside::{InstanceFacts, Jobs, Machines};
use super::request::{Becomes, Request};
use crate::observe;
use crate::outside::{Clock, Fault, Shelf, Snapshot, Which};

/// A step of a restore that takes longer has failed.
const RESTORE_MS: u64 = 2 * 60 * 60 * 1_000;
/// What a drill needs beside its document.
const AROUND_DRILL_MS: u64 = 30 * 60 * 1_000;
/// The document that verifies, where the request names none.
pub const DRILL_DOCUMENT: &str = "Stillpoint-Drill";
const DRILL_SECS: u32 = 1_800;

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// The very value that is carried out.
    pub order: Order,
    /// The set; none for the way back.
    pub set: Option<SetSeen>,
    /// What somebody should know before.
    pub warnings: Vec<String>,
}

/// Why there is nothing to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What is asked for cannot be done.
    Request(Refused),
    /// EC2 or the records did not answer.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Request(refused)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Request(refused) => refused,
            Refusal::Fault(fault) => Self::new(RefusalCode::NotAnswered, fault.to_string()),
        }
    }
}

fn wrong(line: impl Into<String>) -> Refusal {
    Refused::new(RefusalCode::Request, line).into()
}

/// Plans what a request asks for; changes nothing.
///
/// # Errors
/// What is wrong with the request, or why it could not be planned.
pub async fn prepare<O: Shelf + Machines + Jobs + Clock>(
    outside: &O,
    request: &Request,
    request_id: &str,
) -> Result<Prepared, Refusal> {
    let now_ms = outside.now_ms();
    let drill = request.into == Becomes::Drill;
    let id = ids::job_id(if drill { "drill" } else { "restore" }, request_id);
    if let Some(job_id) = &request.undo {
        let recorded = outside.load_job(job_id).await?;
        let no_record = format!("undo: found {job_id}, of which there is no record");
        let recorded = recorded.ok_or_else(|| Refused::new(RefusalCode::NoWayBack, no_record))?;
        let order = undo(&recorded.job, id, now_ms + RESTORE_MS);
        let order = order.map_err(|errors| refused(RefusalCode::NoWayBack, &errors))?;
        return Ok(Prepared { order, set: None, warnings: vec![] });
    }
    let (found, selector) = find(outside, request).await?;
    let sets = sets(&found);
    let selector = match selector {
        Some(selector) => selector,
        None => Selector::Run(longest_not_drilled(&found, &sets)?),
    };
    let chosen = choose(&sets, &selector)?;
    let target = target(outside, request, chosen.set).await?;
    let timeout_ms = u64::from(request.timeout_seconds.unwrap_or(DRILL_SECS)) * 1_000;
    let wanted = Wanted {
        id,
        target,
        devices: request.devices.clone(),
        volumes: VolumeOptions {
            volume_type: request.volume_type.clone(),
            iops: request.iops,
            throughput: request.throughput,
            encrypted: request.encrypted,
            kms_key_id: request.kms_key_id.clone(),
        },
        deadline_ms: now_ms + if drill { timeout_ms + AROUND_DRILL_MS } else { RESTORE_MS },
    };
    let order = plan(wanted, chosen.set);
    let order = order.map_err(|errors| refused(RefusalCode::Request, &errors))?;
    Ok(Prepared { order, set: Some(chosen.set.clone()), warnings: chosen.warnings })
}

fn refused(code: RefusalCode, errors: &[stillpoint_restore::PlanError]) -> Refused {
    Refused { code, lines: errors.iter().map(ToString::to_string).collect() }
}

/// The snapshots that may be meant, and how one set among them is; none where that is for the
/// drills so far to say.
async fn find<O: Shelf>(
    outside: &O,
    request: &Request,
) -> Result<(Vec<Snapshot>, Option<Selector>), Refusal> {
    let before_ms = match &request.before {
        None => None,
        Some(text) => Some(time::epoch_ms(text).ok_or_else(|| {
            wrong(format!("before: found {text:?}, allowed a time such as 2026-01-02T03:04:05Z"))
        })?),
    };
    let (key, value, selector) = match (&request.run_id, &request.instance_id, &request.policy_id) {
        (Some(run), None, None) => (tags::RUN_ID, run, Some(Selector::Run(run.clone()))),
        (None, Some(instance_id), None) => {
            let (instance_id, application) = (instance_id.clone(), request.require_application);
            let selector = Selector::Instance { instance_id, before_ms, application };
            (
                tags::INSTANCE_ID,
                request.instance_id.as_ref().unwrap_or(&request.zone),
                Some(selector),
            )
        }
        (None, None, Some(policy)) if request.into == Becomes::Drill => {
            (tags::POLICY_ID, policy, None)
        }
        _ => {
            return Err(wrong(
                "runId, instanceId, policyId: found none or more than one, allowed a runId, or an \
                 instanceId, or for a drill a policyId",
            ));
        }
    };
    let which = Which::Tag(key.to_owned(), value.clone());
    Ok((outside.snapshots(&outside.home_region(), &which).await?, selector))
}

/// Snapshots as sets; those that only look like ours, and copies, are none.
fn sets(found: &[Snapshot]) -> Vec<SetSeen> {
    let mut sets: BTreeMap<String, SetSeen> = BTreeMap::new();
    for seen in found {
        let Some(one) = observe::snapshot(seen) else { continue };
        if !one.proven || one.owned.kind == Kind::Copy || one.state == State::Error {
            continue;
        }
        let label = |key: &str| seen.tags.get(key).cloned();
        let consistency = label(tags::SET_CONSISTENCY).or_else(|| label(tags::CONSISTENCY));
        let set = sets.entry(one.owned.set_id.clone()).or_insert_with(|| SetSeen {
            set_id: one.owned.set_id.clone(),
            policy_id: one.owned.policy_id.clone(),
            instance_id: one.owned.instance_id.clone(),
            started_ms: one.started_ms,
            consistency: consistency.unwrap_or_default(),
            size: one.owned.set_size,
            drill_failed: one.owned.drill_passed == Some(false),
            snapshots: vec![],
        });
        set.snapshots.push(SnapshotSeen {
            snapshot_id: seen.snapshot_id.clone(),
            completed: one.state == State::Completed,
            device: label(tags::DEVICE).unwrap_or_default(),
            size_gib: seen.size_gib,
            encrypted: seen.encrypted,
        });
    }
    for set in sets.values_mut() {
        set.snapshots.sort_by(|one, other| one.device.cmp(&other.device));
    }
    sets.into_values().collect()
}

/// The newest set of the instance whose last drill is the longest ago.
fn longest_not_drilled(found: &[Snapshot], sets: &[SetSeen]) -> Result<String, Refused> {
    let drilled_at = |one: &Snapshot| {
        let verdict = one.tags.get(tags::DRILL)?;
        verdict.split(' ').nth(1).and_then(time::epoch_ms)
    };
    let drilled = |set: &SetSeen| {
        let of_set = |one: &&Snapshot| one.tags.get(tags::RUN_ID) == Some(&set.set_id);
        found.iter().filter(of_set).filter_map(drilled_at).max()
    };
    let instances: BTreeSet<&str> = sets.iter().map(|set| set.instance_id.as_str()).collect();
    let mut due: Vec<(Option<u64>, &str)> = vec![];
    for instance_id in instances {
        let mine: Vec<&SetSeen> =
            sets.iter().filter(|set| set.instance_id == instance_id).collect();
        let whole = |set: &&&SetSeen| set.snapshots.iter().all(|one| one.completed);
        let newest = mine.iter().filter(whole).max_by_key(|set| set.started_ms);
        if let Some(newest) = newest.filter(|set| drilled(set).is_none()) {
            due.push((mine.iter().filter_map(|set| drilled(set)).max(), &newest.set_id));
        }
    }
    due.sort_unstable();
    let first = due.first().map(|(_, set_id)| (*set_id).to_owned());
    let (code, why) = match sets {
        [] => (
            RefusalCode::NoSet,
            "policyId: found a policy without sets, allowed one that has made a set",
        ),
        _ => (RefusalCode::AllDrilled, "the newest set of each instance was drilled already"),
    };
    first.ok_or_else(|| Refused::new(code, why))
}

async fn target<O: Machines>(
    outside: &O,
    request: &Request,
    set: &SetSeen,
) -> Result<Target, Refusal> {
    match request.into {
        Becomes::Volumes => Ok(Target::Volumes { zone: request.zone.clone() }),
        Becomes::Instance => {
            let id = request.target_instance_id.as_ref().unwrap_or(&set.instance_id);
            Ok(Target::Instance(need(outside, "targetInstanceId", id).await?.seen))
        }
        Becomes::Drill => {
            let host = need(outside, "hostInstanceId", &request.host_instance_id).await?.seen;
            let named = Some(request.document.clone()).filter(|name| !name.is_empty());
            Ok(Target::Drill {
                host,
                document: named.unwrap_or_else(|| DRILL_DOCUMENT.to_owned()),
                parameters: request.parameters.clone(),
                timeout_secs: request.timeout_seconds.unwrap_or(DRILL_SECS),
            })
        }
        Becomes::NewInstance => {
            let source = outside.instance_seen(&set.instance_id).await?;
            let like = source.map(|source| source.launch).unwrap_or_default();
            let own_groups = !request.security_group_ids.is_empty();
            Ok(Target::NewInstance(Launch {
                image_id: request.image_id.clone().unwrap_or(like.image_id),
                instance_type: request.instance_type.clone().unwrap_or(like.instance_type),
                subnet_id: request.subnet_id.clone().or(like.subnet_id),
                security_group_ids: if own_groups {
                    request.security_group_ids.clone()
                } else {
                    like.security_group_ids
                },
                key_name: request.key_name.clone().or(like.key_name),
                name: format!("{} restored", set.instance_id),
            }))
        }
    }
}

async fn need<O: Machines>(
    outside: &O,
    field: &str,
    instance_id: &str,
) -> Result<InstanceFacts, Refusal> {
    let found = outside.instance_seen(instance_id).await?;
    found.ok_or_else(|| {
        wrong(format!("{field}: found {instance_id:?}, allowed an instance of this account"))
    })
}
