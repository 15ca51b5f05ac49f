//! Which set.

use serde::{Deserialize, Serialize};

use crate::code::{RefusalCode, Refused};

/// How a set is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Selector {
    /// The set of this run.
    Run(String),
    /// The newest set of an instance.
    Instance {
        /// The instance.
        instance_id: String,
        /// Not newer than this, in ms since the epoch.
        before_ms: Option<u64>,
        /// Only sets that are proven to be application-consistent.
        application: bool,
    },
}

/// A set as its tags tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetSeen {
    /// The run.
    pub set_id: String,
    /// Its policy.
    pub policy_id: String,
    /// Its instance.
    pub instance_id: String,
    /// When it was made, in ms since the epoch.
    pub started_ms: u64,
    /// `application`, `claimed`, `crash`, or `pending` before the verdict.
    pub consistency: String,
    /// How many snapshots it had; none if that was never written.
    pub size: Option<usize>,
    /// A drill found it no good.
    pub drill_failed: bool,
    /// By device.
    pub snapshots: Vec<SnapshotSeen>,
}

/// One snapshot of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSeen {
    /// `snap-...`
    pub snapshot_id: String,
    /// Whether all of its data is there.
    pub completed: bool,
    /// The device that its volume was.
    pub device: String,
    /// Its size in GiB.
    pub size_gib: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// The set that is meant, with what somebody should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'s> {
    /// The set.
    pub set: &'s SetSeen,
    /// What somebody should know before it is restored.
    pub warnings: Vec<String>,
}

/// Chooses.
///
/// # Errors
/// Why there is no such set, naming what is there instead.
pub fn choose<'s>(sets: &'s [SetSeen], selector: &Selector) -> Result<Chosen<'s>, Refused> {
    match selector {
        Selector::Run(set_id) => {
            let set = sets.iter().find(|set| set.set_id == *set_id);
            let set = set.ok_or_else(|| {
                Refused::new(RefusalCode::NoSet, format!("there is no set of {set_id}"))
            })?;
            match unusable(set) {
                Some(why) => {
                    let line = format!("the set of {set_id} cannot be restored: {why}");
                    Err(Refused::new(RefusalCode::Unusable, line))
                }
                None => Ok(Chosen { set, warnings: warnings(set) }),
            }
        }
        Selector::Instance { instance_id, before_ms, application } => {
            let mut of_instance: Vec<&SetSeen> = sets
                .iter()
                .filter(|set| set.instance_id == *instance_id)
                .filter(|set| before_ms.is_none_or(|before| set.started_ms <= before))
                .collect();
            of_instance.sort_by_key(|set| std::cmp::Reverse(set.started_ms));
            let fits = |set: &&&SetSeen| {
                unusable(set).is_none()
                    && !set.drill_failed
                    && (!application || set.consistency == "application")
            };
            let set = of_instance.iter().find(fits).ok_or_else(|| {
                let what = if *application { "application-consistent set" } else { "set" };
                let line = format!(
                    "{instance_id} has no {what} that can be restored among the {} that there are",
                    of_instance.len()
                );
                Refused::new(RefusalCode::NoSet, line)
            })?;
            let mut warnings = warnings(set);
            if let Some(newer) = of_instance.first().filter(|newest| newest.set_id != set.set_id) {
                warnings.push(format!("a newer set is passed over: {}", newer.set_id));
            }
            Ok(Chosen { set, warnings })
        }
    }
}

fn unusable(set: &SetSeen) -> Option<String> {
    if set.snapshots.iter().any(|one| !one.completed) {
        return Some("not all of its snapshots are completed".to_owned());
    }
    if set.snapshots.iter().any(|one| one.device.is_empty()) {
        return Some("the devices of its volumes are not on record".to_owned());
    }
    let size = set.size.filter(|size| set.snapshots.len() < *size)?;
    Some(format!("only {} of its {size} snapshots are left", set.snapshots.len()))
}

fn warnings(set: &SetSeen) -> Vec<String> {
    let mut warnings = vec![];
    if set.drill_failed {
        warnings.push("its restore drill failed".to_owned());
    }
    if set.consistency != "application" {
        warnings.push(format!("it is {}-consistent, not application-consistent", set.consistency));
    }
    warnings
}
