//! Policies as retention's rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use stillpoint_policy::{CreateRule, Policy, Retain, Schedule, parse};
use stillpoint_retention::Keep;

use crate::outside::{Fault, Policies};

/// So many firings show the longest time between two of them, also where the weekday or the month
/// matters.
const FIRINGS: usize = 64;

/// All policies that can be read. One that cannot is as if it were not there, so that nothing of
/// its sets is deleted.
///
/// # Errors
/// Those of the store.
pub async fn load(outside: &impl Policies) -> Result<Vec<Policy>, Fault> {
    let mut policies = vec![];
    for (id, json) in outside.policies().await? {
        match parse(&id, &json) {
            Ok(policy) => policies.push(policy),
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                tracing::error!(policy_id = id, ?errors, "nothing of this policy is deleted");
            }
        }
    }
    Ok(policies)
}

/// A policy as retention knows it, for the copies in one Region or for the sets themselves.
#[must_use]
pub fn retention(
    policy: &Policy,
    region: Option<&str>,
    now: Timestamp,
) -> stillpoint_retention::Policy {
    let settings = policy.settings.retention;
    let schedule = |schedule: &Schedule| stillpoint_retention::Schedule {
        name: schedule.name.clone(),
        keep: match schedule.retain {
            Retain::Count(count) => Keep::Count(count),
            Retain::Age(_) => Keep::Age,
        },
        copies: region
            .is_some_and(|region| schedule.copies.iter().any(|one| one.target_region == region)),
        interval_ms: interval_ms(&schedule.create_rule, now),
        require_application: settings.require_application_consistency,
        minimum_good_sets: settings.minimum_good_sets as usize,
    };
    stillpoint_retention::Policy {
        id: policy.id.clone(),
        enabled: policy.enabled(),
        schedules: policy.schedules.iter().map(schedule).collect(),
    }
}

/// The longest time between two firings of the near future; none if there are not two.
fn interval_ms(rule: &CreateRule, now: Timestamp) -> Option<u64> {
    let firings = rule.cron().next_after(now, FIRINGS);
    let gaps = firings.windows(2).map(|two| two[1].as_millisecond() - two[0].as_millisecond());
    gaps.max().and_then(|gap| u64::try_from(gap).ok())
}

/// When a set of these schedules expires if nothing on it says so: the latest of their ages,
/// none if one of them retains by count.
#[must_use]
pub fn expiry_ms(policy: &Policy, schedules: &[String], started_ms: u64) -> Option<u64> {
    let started = Timestamp::from_millisecond(i64::try_from(started_ms).ok()?).ok()?;
    let mine = policy.schedules.iter().filter(|one| schedules.contains(&one.name));
    let ends: Option<Vec<Timestamp>> = mine
        .map(|schedule| match schedule.retain {
            Retain::Count(_) => None,
            Retain::Age(age) => Some(age.end(started)),
        })
        .collect();
    u64::try_from(ends?.into_iter().max()?.as_millisecond()).ok()
}

/// The policies that target each instance.
#[must_use]
pub fn targets(
    policies: &[Policy],
    instances: &BTreeMap<String, BTreeMap<String, String>>,
) -> BTreeMap<String, BTreeSet<String>> {
    let by = |tags: &BTreeMap<String, String>| {
        let targeting = policies.iter().filter(|policy| targets_one(policy, tags));
        targeting.map(|policy| policy.id.clone()).collect()
    };
    instances.iter().map(|(id, tags)| (id.clone(), by(tags))).collect()
}

fn targets_one(policy: &Policy, tags: &BTreeMap<String, String>) -> bool {
    let has = |tag: &stillpoint_policy::Tag| tags.get(&tag.key) == Some(&tag.value);
    match &policy.default_policy {
        Some(default) => !default.exclude_tags.iter().any(has),
        None => policy.target_tags.iter().any(has),
    }
}

/// The Regions that anything may be in: home, and where the policies copy to.
#[must_use]
pub fn regions(home: &str, policies: &[Policy]) -> Vec<String> {
    let targets = policies.iter().flat_map(|policy| &policy.schedules).flat_map(|one| &one.copies);
    let others: BTreeSet<&str> =
        targets.map(|copy| copy.target_region.as_str()).filter(|region| *region != home).collect();
    std::iter::once(home).chain(others).map(str::to_owned).collect()
}
