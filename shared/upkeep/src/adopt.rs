//! Sets that DLM made, taken over by a policy here: they get our tags beside DLM's.
//!
//! DLM's own tags stay, and are the proof that the set was not made by anybody else. While the
//! policy in DLM is enabled both delete, each by its own rule.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stillpoint_policy::Policy;
use stillpoint_wire::{ids, tags, time};

use crate::observe::DLM_POLICY;
use crate::outside::{Fault, Label, Shelf, Snapshot, Which};
use crate::rules;

const DLM_SCHEDULE: &str = "aws:dlm:lifecycle-schedule-name";
const DLM_EXPIRES: &str = "aws:dlm:expirationTime";
const DLM_PRE: &str = "aws:dlm:pre-script";
const DLM_POST: &str = "aws:dlm:post-script";
/// Written by AWS's VSS documents, in either case.
const VSS_CONSISTENT: &str = "appconsistent";

/// What adopting would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// The sets that can be taken over.
    pub sets: Vec<AdoptedSet>,
    /// The snapshots that cannot, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// One set that can be taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedSet {
    /// The id that it gets.
    pub set_id: String,
    /// Its schedule, in DLM and here.
    pub schedule_name: String,
    /// The instance that its volumes are attached to.
    pub instance_id: String,
    /// When it was made, in ms since the epoch.
    pub started_ms: u64,
    /// `application`, `claimed` or `crash`.
    pub consistency: &'static str,
    /// The tags that each snapshot gets.
    pub snapshots: BTreeMap<String, BTreeMap<String, String>>,
}

/// Reads what DLM's policy made and says what would be taken over by `policy`.
///
/// # Errors
/// Any of the reads.
pub async fn plan<O: Shelf>(
    outside: &O,
    dlm_policy_id: &str,
    policy: &Policy,
) -> Result<Adoption, Fault> {
    let which = Which::Tag(DLM_POLICY.to_owned(), dlm_policy_id.to_owned());
    let found = outside.snapshots(&outside.home_region(), &which).await?;
    let volumes: BTreeSet<String> = found.iter().map(|one| one.volume_id.clone()).collect();
    let attached = outside.attachments(&volumes.into_iter().collect::<Vec<_>>()).await?;
    Ok(decide(&found, &attached, policy))
}

/// Takes the sets over, one after the other; again is the same.
///
/// # Errors
/// The first tag that could not be written; what was taken over before stays so.
pub async fn adopt<O: Shelf + Label>(
    outside: &O,
    adoption: &Adoption,
    mut progress: impl FnMut(&AdoptedSet),
) -> Result<(), Fault> {
    for set in &adoption.sets {
        for (snapshot_id, tags) in &set.snapshots {
            let ids = std::slice::from_ref(snapshot_id);
            outside.label(&outside.home_region(), ids, tags).await?;
        }
        progress(set);
    }
    Ok(())
}

/// What can be taken over. EC2 gives the snapshots of one set the same start time; which instance
/// they are of is known by the volumes that are still attached to it.
#[must_use]
pub fn decide(
    found: &[Snapshot],
    attached: &BTreeMap<String, (String, String)>,
    policy: &Policy,
) -> Adoption {
    let mut adoption = Adoption::default();
    let mut sets: BTreeMap<(u64, String, String), Vec<&Snapshot>> = BTreeMap::new();
    for one in found {
        match belongs(one, attached, policy) {
            Ok((schedule, instance)) => {
                sets.entry((one.started_ms, schedule, instance)).or_default().push(one);
            }
            Err(reason) => adoption.left_out.push((one.snapshot_id.clone(), reason)),
        }
    }
    for ((started_ms, schedule_name, instance_id), snapshots) in sets {
        let key = format!("{schedule_name} {instance_id} {started_ms}");
        let set_id = ids::adopted_id(&policy.id, &key);
        let consistency = consistency(&snapshots);
        let tags_of = |one: &Snapshot| {
            let mut put: BTreeMap<String, String> = BTreeMap::new();
            let device = attached.get(&one.volume_id).map(|(_, device)| device.clone());
            for (key, value) in [
                (tags::RUN_ID, set_id.clone()),
                (tags::POLICY_ID, policy.id.clone()),
                (tags::SCHEDULE_NAME, schedule_name.clone()),
                (tags::INSTANCE_ID, instance_id.clone()),
                (tags::DEVICE, device.unwrap_or_default()),
                (tags::CONSISTENCY, consistency.to_owned()),
                (tags::SET_CONSISTENCY, consistency.to_owned()),
                (tags::SET_SIZE, snapshots.len().to_string()),
            ] {
                put.insert(key.to_owned(), value);
            }
            let fixed = one.tags.get(DLM_EXPIRES).and_then(|text| time::epoch_ms(text));
            let schedules = std::slice::from_ref(&schedule_name);
            let expires = fixed.or_else(|| rules::expiry_ms(policy, schedules, started_ms));
            if let Some(expires_ms) = expires {
                put.insert(tags::EXPIRES_AT.to_owned(), time::rfc3339(expires_ms));
            }
            put
        };
        adoption.sets.push(AdoptedSet {
            snapshots: snapshots
                .iter()
                .map(|one| (one.snapshot_id.clone(), tags_of(one)))
                .collect(),
            set_id,
            schedule_name,
            instance_id,
            started_ms,
            consistency,
        });
    }
    adoption
}

fn belongs(
    one: &Snapshot,
    attached: &BTreeMap<String, (String, String)>,
    policy: &Policy,
) -> Result<(String, String), String> {
    if let Some(other) = one.tags.get(tags::POLICY_ID) {
        return Err(format!("it belongs to policy {other} already"));
    }
    let schedule = one.tags.get(DLM_SCHEDULE).cloned().unwrap_or_default();
    if policy.schedule(Some(&schedule)).is_none() {
        return Err(format!("{} has no schedule {schedule:?}", policy.id));
    }
    match attached.get(&one.volume_id) {
        Some((instance, _)) => Ok((schedule, instance.clone())),
        None => Err(format!("{} is attached to no instance", one.volume_id)),
    }
}

/// DLM's word is claimed; AppConsistent on every snapshot is VSS's proof.
fn consistency(snapshots: &[&Snapshot]) -> &'static str {
    let all = |holds: &dyn Fn(&Snapshot) -> bool| snapshots.iter().all(|one| holds(one));
    let vss = |one: &Snapshot| {
        one.tags.iter().any(|(key, value)| {
            key.eq_ignore_ascii_case(VSS_CONSISTENT) && value.eq_ignore_ascii_case("true")
        })
    };
    let said = |one: &Snapshot, key| one.tags.get(key).is_some_and(|value| value == "SUCCESS");
    if all(&vss) {
        "application"
    } else if all(&|one| said(one, DLM_PRE) && said(one, DLM_POST)) {
        "claimed"
    } else {
        "crash"
    }
}
