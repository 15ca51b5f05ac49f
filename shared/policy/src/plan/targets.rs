//! Which instances a firing is about: the policy's targets, narrowed by the ids that were asked
//! for, each of those with an answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Firing, Instance, Inventory, LeftOutInstance};
use crate::policy::{Policy, Tag};

const NOT_FOUND: &str = "no such instance in this account and Region";
const NOT_TARGETED: &str = "it has none of the policy's target tags";

/// The targets in the order of their ids, and the ids that are none.
pub(super) fn select<'a>(
    policy: &Policy,
    firing: &Firing,
    inventory: &'a Inventory,
    warnings: &mut Vec<String>,
) -> (Vec<&'a Instance>, Vec<LeftOutInstance>) {
    // By id: a describe call that is read page by page may show an instance twice.
    let known: BTreeMap<&str, &Instance> =
        inventory.instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    let targeted = |instance: &Instance| has_any(&instance.tags, &policy.target_tags);
    let Some(ids) = &firing.instance_ids else {
        let targets: Vec<&Instance> =
            known.into_values().filter(|instance| targeted(instance)).collect();
        if targets.is_empty() {
            warnings.push("no instance has any of the policy's target tags".into());
        }
        return (targets, Vec::new());
    };
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    if ids.is_empty() {
        warnings.push("instanceIds is an empty list: nothing is asked for".into());
    }
    let mut targets = Vec::new();
    let mut left_out = Vec::new();
    for id in ids {
        let reason = match known.get(id) {
            Some(instance) if targeted(instance) => {
                targets.push(*instance);
                continue;
            }
            Some(_) => NOT_TARGETED,
            None => NOT_FOUND,
        };
        left_out.push(LeftOutInstance { instance_id: id.into(), reason: reason.into() });
    }
    (targets, left_out)
}

/// Key and value as they stand, case and all; EC2's own tag filters take wildcards, DLM's tags
/// do not.
pub(super) fn has_any(tags: &BTreeMap<String, String>, wanted: &[Tag]) -> bool {
    matching(tags, wanted).is_some()
}

pub(super) fn matching<'a>(tags: &BTreeMap<String, String>, wanted: &'a [Tag]) -> Option<&'a Tag> {
    wanted.iter().find(|tag| tags.get(&tag.key) == Some(&tag.value))
}
