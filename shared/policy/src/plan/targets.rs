//! Which instances a firing is about: the policy's targets, narrowed by the ids that were asked
//! for, each of those with an answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Firing, Instance, Inventory, LeftOutInstance, Nominal};
use crate::policy::{DefaultPolicy, Policy, Tag};

const NOT_FOUND: &str = "no such instance in this account and Region";
const NOT_TARGETED: &str = "it has none of the policy's target tags";
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// DLM's default policies leave out what is younger than a day.
const MIN_AGE_HOURS: u64 = 24;
/// DLM makes the sets of a default policy at some time in four hours, so that a set that is
/// younger than its interval by less is not a recent one.
const WINDOW_HOURS: u64 = 4;

/// The targets in the order of their ids, and the ids that are none.
pub(super) fn select<'a>(
    policy: &Policy,
    firing: &Firing,
    nominal: &Nominal,
    inventory: &'a Inventory,
    warnings: &mut Vec<String>,
) -> (Vec<&'a Instance>, Vec<LeftOutInstance>) {
    // By id: a describe call that is read page by page may show an instance twice.
    let known: BTreeMap<&str, &Instance> =
        inventory.instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    if let Some(default) = &policy.default_policy
        && firing.instance_ids.is_none()
    {
        return all(default, nominal, known.into_values());
    }
    let targeted = |instance: &Instance| match &policy.default_policy {
        Some(default) => !has_any(&instance.tags, &default.exclude_tags),
        None => has_any(&instance.tags, &policy.target_tags),
    };
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
            Some(_) if policy.default_policy.is_some() => "it has one of Exclusions.ExcludeTags",
            Some(_) => NOT_TARGETED,
            None => NOT_FOUND,
        };
        left_out.push(LeftOutInstance { instance_id: id.into(), reason: reason.into() });
    }
    (targets, left_out)
}

/// Every instance without a recent backup. An instance that a request names gets its set in any
/// case: whoever names it has decided.
fn all<'a>(
    default: &DefaultPolicy,
    nominal: &Nominal,
    instances: impl Iterator<Item = &'a Instance>,
) -> (Vec<&'a Instance>, Vec<LeftOutInstance>) {
    let now_ms = u64::try_from(nominal.time.as_millisecond()).unwrap_or(0);
    let mut targets = Vec::new();
    let mut left_out = Vec::new();
    for instance in instances {
        match why_not_due(default, now_ms, instance) {
            None => targets.push(instance),
            Some(reason) => {
                left_out.push(LeftOutInstance { instance_id: instance.id.clone(), reason });
            }
        }
    }
    (targets, left_out)
}

fn why_not_due(default: &DefaultPolicy, now_ms: u64, instance: &Instance) -> Option<String> {
    if let Some(tag) = matching(&instance.tags, &default.exclude_tags) {
        return Some(format!("tag {}={} (Exclusions.ExcludeTags)", tag.key, tag.value));
    }
    let hours = |since: Option<u64>| since.map(|since| now_ms.saturating_sub(since) / HOUR_MS);
    if let Some(age) = hours(instance.launched_ms).filter(|age| *age < MIN_AGE_HOURS) {
        return Some(format!("it was launched {age} hours ago, less than {MIN_AGE_HOURS}"));
    }
    let recent = u64::from(default.create_interval_days) * 24 - WINDOW_HOURS;
    let age = hours(instance.backed_up_ms).filter(|age| *age < recent)?;
    Some(format!(
        "all its volumes have a snapshot of {age} hours ago or less, and CreateInterval is {} days",
        default.create_interval_days
    ))
}

/// Key and value as they stand, case and all; EC2's own tag filters take wildcards, DLM's tags
/// do not.
pub(super) fn has_any(tags: &BTreeMap<String, String>, wanted: &[Tag]) -> bool {
    matching(tags, wanted).is_some()
}

pub(super) fn matching<'a>(tags: &BTreeMap<String, String>, wanted: &'a [Tag]) -> Option<&'a Tag> {
    wanted.iter().find(|tag| tags.get(&tag.key) == Some(&tag.value))
}
