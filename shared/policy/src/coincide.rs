//! Schedules that fire at the same time make one set: its rules are the highest retention and the
//! union of the rest, as DLM has it.
//!
//! One schedule of them keeps the set; the run has its name and id, whichever of the schedules'
//! firings arrives, so that they all ask for the same run.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::Zone;
use crate::policy::{Policy, Schedule, Script, Tag, VariableTag};
use crate::rules::{Age, RegionCopy, Retain};

/// What a set is made with and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRules {
    /// The schedule that keeps the set: the one with the highest retention, the first of equals.
    pub schedule_name: String,
    /// All that fire at this time, in the order of the policy.
    pub schedule_names: Vec<String>,
    pub copy_tags: bool,
    /// Each key once; the keeping schedule's value, then the first.
    pub tags_to_add: Vec<Tag>,
    pub variable_tags: Vec<VariableTag>,
    /// The keeping schedule's script, or else the first.
    pub script: Option<Script>,
    /// Whose script that is.
    pub script_schedule: Option<String>,
    /// Of the keeping schedule.
    pub retain: Retain,
    /// By zone, the highest retention of the schedules that name it.
    pub fast_restore: BTreeMap<Zone, Retain>,
    /// Each Region once, with the highest retention of the schedules that name it.
    pub copies: Vec<RegionCopy>,
    /// By account, when it is unshared; never before the set is deleted where it is `None`.
    pub shares: BTreeMap<String, Option<Age>>,
}

/// The rules of the set that a firing of this schedule at this time makes, or those of the
/// schedule alone for a firing on demand, which has no nominal time. Nothing where the policy has
/// no such schedule.
pub fn set_rules(
    policy: &Policy,
    schedule_name: &str,
    nominal: Option<Timestamp>,
) -> Option<SetRules> {
    let fired = policy.schedule(Some(schedule_name))?;
    let fires = |schedule: &Schedule| {
        nominal.is_some_and(|time| {
            schedule.create_rule.cron().fires_at(&policy.settings.time_zone, time)
        })
    };
    // A firing at a time that its schedule does not have any more, because the document is newer
    // than what is deployed, is alone: the others' firings know nothing of it.
    let shared = fires(fired);
    let coincide =
        |schedule: &&Schedule| schedule.name == fired.name || (shared && fires(schedule));
    let schedules: Vec<&Schedule> = policy.schedules.iter().filter(coincide).collect();
    let time = nominal.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut keeping = *schedules.first()?;
    for schedule in &schedules[1..] {
        if ends(policy, schedule, schedule.retain, time)
            > ends(policy, keeping, keeping.retain, time)
        {
            keeping = schedule;
        }
    }
    // The keeping schedule first: where only one can have its way, it has.
    let others = schedules.iter().copied().filter(|schedule| schedule.name != keeping.name);
    let ordered: Vec<&Schedule> = std::iter::once(keeping).chain(others).collect();
    let scripted = ordered.iter().find(|schedule| schedule.script.is_some());
    let (tags_to_add, variable_tags) = tags(&ordered);
    Some(SetRules {
        schedule_name: keeping.name.clone(),
        schedule_names: schedules.iter().map(|schedule| schedule.name.clone()).collect(),
        copy_tags: schedules.iter().any(|schedule| schedule.copy_tags),
        tags_to_add,
        variable_tags,
        script: scripted.and_then(|schedule| schedule.script.clone()),
        script_schedule: scripted.map(|schedule| schedule.name.clone()),
        retain: keeping.retain,
        fast_restore: fast_restore(policy, &schedules, time),
        copies: copies(&schedules, time),
        shares: shares(&schedules, time),
    })
}

/// Until when a set of this time is kept. A count is as long as it takes until so many more sets
/// of the schedule are there: for ever after a schedule's last firing, as in DLM.
fn ends(policy: &Policy, schedule: &Schedule, retain: Retain, time: Timestamp) -> Timestamp {
    match retain {
        Retain::Age(age) => age.end(time),
        Retain::Count(count) => {
            let cron = schedule.create_rule.cron();
            let mut firings = cron.firings_after(&policy.settings.time_zone, time);
            let nth = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1);
            firings.nth(nth).unwrap_or(Timestamp::MAX)
        }
    }
}

fn tags(ordered: &[&Schedule]) -> (Vec<Tag>, Vec<VariableTag>) {
    let mut added: Vec<Tag> = Vec::new();
    let mut variable: Vec<VariableTag> = Vec::new();
    for schedule in ordered {
        // A key belongs to the schedule that comes first, whichever of the two lists it is in.
        let taken: Vec<String> = added
            .iter()
            .map(|tag| tag.key.clone())
            .chain(variable.iter().map(|tag| tag.key.clone()))
            .collect();
        let free = |key: &String| !taken.contains(key);
        added.extend(schedule.tags_to_add.iter().filter(|tag| free(&tag.key)).cloned());
        variable.extend(schedule.variable_tags.iter().filter(|tag| free(&tag.key)).cloned());
    }
    (added, variable)
}

fn fast_restore(
    policy: &Policy,
    schedules: &[&Schedule],
    time: Timestamp,
) -> BTreeMap<Zone, Retain> {
    let mut zones: BTreeMap<Zone, (Timestamp, Retain)> = BTreeMap::new();
    for schedule in schedules {
        let Some(rule) = &schedule.fast_restore else { continue };
        let end = ends(policy, schedule, rule.retain, time);
        for zone in &rule.zones {
            let best = zones.entry(zone.clone()).or_insert((end, rule.retain));
            if end > best.0 {
                *best = (end, rule.retain);
            }
        }
    }
    zones.into_iter().map(|(zone, (_, retain))| (zone, retain)).collect()
}

fn copies(schedules: &[&Schedule], time: Timestamp) -> Vec<RegionCopy> {
    let end = |copy: &RegionCopy| copy.retain.map_or(Timestamp::MAX, |age| age.end(time));
    let mut copies: Vec<RegionCopy> = Vec::new();
    for copy in schedules.iter().flat_map(|schedule| &schedule.copies) {
        match copies.iter_mut().find(|other| other.target_region == copy.target_region) {
            None => copies.push(copy.clone()),
            Some(best) => {
                let (encrypted, copy_tags) =
                    (best.encrypted || copy.encrypted, best.copy_tags || copy.copy_tags);
                if end(copy) > end(best) {
                    *best = copy.clone();
                }
                (best.encrypted, best.copy_tags) = (encrypted, copy_tags);
            }
        }
    }
    copies
}

fn shares(schedules: &[&Schedule], time: Timestamp) -> BTreeMap<String, Option<Age>> {
    let end = |age: Option<Age>| age.map_or(Timestamp::MAX, |age| age.end(time));
    let mut shares: BTreeMap<String, Option<Age>> = BTreeMap::new();
    for share in schedules.iter().flat_map(|schedule| &schedule.shares) {
        for account in &share.accounts {
            let best = shares.entry(account.clone()).or_insert(share.unshare_after);
            if end(share.unshare_after) > end(*best) {
                *best = share.unshare_after;
            }
        }
    }
    shares
}
