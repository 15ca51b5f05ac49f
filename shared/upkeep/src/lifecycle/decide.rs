//! What is owed to the sets that there are. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use stillpoint_policy::{Policy, RegionCopy, Retain, Schedule};
use stillpoint_retention::Kind;
use stillpoint_wire::{tags, time};

use crate::observe;
use crate::outside::Snapshot;

/// EC2 copies so many at once into one Region.
const COPIES_IN_FLIGHT_MAX: usize = 20;
/// DLM tries for a day to copy and to share.
const TRIES_MS: u64 = 24 * 60 * 60 * 1_000;

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Ours in the home Region.
    pub snapshots: Vec<Snapshot>,
    /// Ours in each Region that is copied to.
    pub copies: BTreeMap<String, Vec<Snapshot>>,
    /// Snapshot and the zones, by name and by id, in which fast restore is on or coming.
    pub fast: BTreeMap<String, BTreeSet<String>>,
}

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Copy a snapshot into another Region.
    Copy(Copy),
    /// Turn fast restore on.
    EnableFastRestore {
        /// Of this snapshot.
        snapshot_id: String,
        /// In these zones.
        zones: Vec<String>,
        /// All zones that it was turned on in here, with these.
        ours: Vec<String>,
    },
    /// Turn off fast restore that was turned on here.
    DisableFastRestore {
        /// Of this snapshot.
        snapshot_id: String,
        /// In these zones.
        zones: Vec<String>,
    },
    /// Share a snapshot.
    Share {
        /// This one.
        snapshot_id: String,
        /// With these accounts.
        accounts: Vec<String>,
        /// Until then, in ms since the epoch.
        unshare_at_ms: Option<u64>,
    },
    /// End the sharing.
    Unshare {
        /// Of this snapshot.
        snapshot_id: String,
        /// With these accounts.
        accounts: Vec<String>,
    },
}

/// A copy to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Of this snapshot.
    pub snapshot_id: String,
    /// Into this Region.
    pub region: String,
    /// Names the run, which is what proves that it is ours.
    pub description: String,
    /// Encrypted, whether or not the snapshot is.
    pub encrypted: bool,
    /// With this key; the account's default for EBS where there is none.
    pub kms_key_id: Option<String>,
    /// All tags that it is made with.
    pub tags: BTreeMap<String, String>,
}

/// A set that is complete.
struct Set<'s> {
    started_ms: u64,
    schedule: &'s Schedule,
    instance_id: String,
    snapshots: Vec<&'s Snapshot>,
}

/// What is owed, policy by policy, to the newest sets first.
#[must_use]
pub fn owed(seen: &Seen, policies: &[Policy], now_ms: u64) -> Vec<(String, Act)> {
    let mut owed = vec![];
    let mut in_flight: BTreeMap<&str, usize> = seen
        .copies
        .iter()
        .map(|(region, copies)| {
            let pending =
                |one: &&Snapshot| one.state == "pending" && one.tags.contains_key(tags::COPY_OF);
            (region.as_str(), copies.iter().filter(pending).count())
        })
        .collect();
    for policy in policies.iter().filter(|policy| policy.enabled()) {
        let sets = complete_sets(seen, policy);
        for set in &sets {
            let fresh = now_ms.saturating_sub(set.started_ms) < TRIES_MS;
            for rule in set.schedule.copies.iter().filter(|_| fresh) {
                copies(seen, set, rule, now_ms, &mut in_flight, |act| {
                    owed.push((policy.id.clone(), act));
                });
            }
            for share in set.schedule.shares.iter().filter(|_| fresh) {
                let not_yet = set.snapshots.iter().filter(|one| {
                    let state = one.tags.get(tags::SHARED).and_then(|text| text.split(' ').next());
                    state.is_none_or(|state| state == BEGUN)
                });
                for one in not_yet {
                    let unshare_at_ms =
                        share.unshare_after.and_then(|age| end_ms(age, set.started_ms));
                    let (snapshot_id, accounts) = (one.snapshot_id.clone(), share.accounts.clone());
                    let act = Act::Share { snapshot_id, accounts, unshare_at_ms };
                    owed.push((policy.id.clone(), act));
                }
            }
        }
        for act in fast_restore(seen, &sets, now_ms) {
            owed.push((policy.id.clone(), act));
        }
    }
    // Whatever became of the policy: what was to end ends.
    owed.extend(unshares(seen, now_ms));
    owed
}

/// The sets of a policy that are all there, from the newest.
fn complete_sets<'s>(seen: &'s Seen, policy: &'s Policy) -> Vec<Set<'s>> {
    let mut sets: BTreeMap<String, Vec<(&Snapshot, stillpoint_retention::Snapshot)>> =
        BTreeMap::new();
    for raw in &seen.snapshots {
        let Some(one) = observe::snapshot(raw) else { continue };
        if one.proven && one.owned.kind == Kind::Original && one.owned.policy_id == policy.id {
            sets.entry(one.owned.set_id.clone()).or_default().push((raw, one));
        }
    }
    let mut complete: Vec<Set<'_>> = sets
        .into_values()
        .filter_map(|members| {
            let owned = &members[0].1.owned;
            let whole = owned.set_size == Some(members.len());
            let completed = members.iter().all(|(raw, _)| raw.state == "completed");
            let going = members.iter().any(|(_, one)| one.owned.delete_after_ms.is_some());
            let schedule =
                policy.schedules.iter().find(|one| owned.schedules.contains(&one.name))?;
            (whole && completed && !going).then(|| Set {
                started_ms: members[0].1.started_ms,
                schedule,
                instance_id: owned.instance_id.clone(),
                snapshots: members.iter().map(|(raw, _)| *raw).collect(),
            })
        })
        .collect();
    complete.sort_by_key(|set| std::cmp::Reverse(set.started_ms));
    complete
}

fn copies<'s>(
    seen: &'s Seen,
    set: &Set<'_>,
    rule: &RegionCopy,
    now_ms: u64,
    in_flight: &mut BTreeMap<&'s str, usize>,
    mut owe: impl FnMut(Act),
) {
    let Some((region, there)) = seen.copies.get_key_value(&rule.target_region) else { return };
    for one in &set.snapshots {
        // A copy that failed is the reaper's; another one is made in its place.
        let copied = there.iter().any(|copy| {
            copy.tags.get(tags::COPY_OF) == Some(&one.snapshot_id) && copy.state != "error"
        });
        let count = in_flight.entry(region).or_default();
        if copied || *count >= COPIES_IN_FLIGHT_MAX {
            continue;
        }
        *count += 1;
        owe(Act::Copy(copy_of(one, rule, now_ms)));
    }
}

fn copy_of(one: &Snapshot, rule: &RegionCopy, now_ms: u64) -> Copy {
    let ours = [
        tags::RUN_ID,
        tags::POLICY_ID,
        tags::SCHEDULE_NAME,
        tags::INSTANCE_ID,
        tags::DEVICE,
        tags::CONSISTENCY,
        tags::SET_SIZE,
        tags::SET_CONSISTENCY,
        tags::EXPIRES_AT,
    ];
    let users = |key: &str| !key.starts_with("aws:") && !key.starts_with("stillpoint:");
    let kept = one
        .tags
        .iter()
        .filter(|(key, _)| ours.contains(&key.as_str()) || (rule.copy_tags && users(key)));
    let mut all: BTreeMap<String, String> =
        kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    all.insert(tags::COPY_OF.to_owned(), one.snapshot_id.clone());
    all.insert(tags::VOLUME_ID.to_owned(), one.volume_id.clone());
    if let Some(ends) = rule.retain.and_then(|age| end_ms(age, now_ms)) {
        all.insert(tags::EXPIRES_AT.to_owned(), time::rfc3339(ends));
    }
    let run_id = one.tags.get(tags::RUN_ID).map_or("", String::as_str);
    Copy {
        snapshot_id: one.snapshot_id.clone(),
        region: rule.target_region.clone(),
        description: format!("stillpoint copy of {} {run_id}", one.snapshot_id),
        encrypted: rule.encrypted || one.encrypted,
        kms_key_id: rule.cmk_arn.clone(),
        tags: all,
    }
}

/// On for the newest so many of each queue, or for so long; off for the others, if it was us who
/// turned it on.
fn fast_restore(seen: &Seen, sets: &[Set<'_>], now_ms: u64) -> Vec<Act> {
    let mut acts = vec![];
    let mut passed: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for set in sets {
        let queue = passed.entry((&set.schedule.name, &set.instance_id)).or_default();
        *queue += 1;
        let rule = set.schedule.fast_restore.as_ref();
        let wanted = rule.is_some_and(|rule| match rule.retain {
            Retain::Count(count) => *queue <= count,
            Retain::Age(age) => end_ms(age, set.started_ms).is_none_or(|end| now_ms < end),
        });
        let zones = rule.filter(|_| wanted).map(|rule| rule.zones.as_slice()).unwrap_or_default();
        for one in &set.snapshots {
            let on = seen.fast.get(&one.snapshot_id);
            let missing: Vec<String> = zones
                .iter()
                .map(|zone| zone.as_str().to_owned())
                .filter(|zone| on.is_none_or(|on| !on.contains(zone)))
                .collect();
            let snapshot_id = one.snapshot_id.clone();
            let tag = one.tags.get(tags::FAST_RESTORE).map(String::as_str).unwrap_or_default();
            let ours = tag.split(',').filter(|zone| !zone.is_empty()).map(str::to_owned);
            if !missing.is_empty() {
                let ours = ours.filter(|zone| !missing.contains(zone)).chain(missing.clone());
                let (zones, ours) = (missing.clone(), ours.collect());
                acts.push(Act::EnableFastRestore { snapshot_id, zones, ours });
            } else if !wanted && on.is_some_and(|on| !on.is_empty()) {
                let zones: Vec<String> =
                    ours.filter(|zone| on.is_some_and(|on| on.contains(zone))).collect();
                if !zones.is_empty() {
                    acts.push(Act::DisableFastRestore { snapshot_id, zones });
                }
            }
        }
    }
    // What goes first makes room for what comes: EC2 allows few at a time.
    acts.sort_by_key(|act| !matches!(act, Act::DisableFastRestore { .. }));
    acts
}

fn unshares(seen: &Seen, now_ms: u64) -> Vec<(String, Act)> {
    let proven = |one: &&Snapshot| observe::snapshot(one).is_some_and(|one| one.proven);
    seen.snapshots
        .iter()
        .filter(proven)
        .filter_map(|one| {
            let shared = Shared::read(one.tags.get(tags::SHARED)?)?;
            let accounts =
                shared.until_ms.is_some_and(|at| at <= now_ms).then_some(shared.accounts)?;
            let act = Act::Unshare { snapshot_id: one.snapshot_id.clone(), accounts };
            Some((one.tags.get(tags::POLICY_ID)?.clone(), act))
        })
        .collect()
}

/// The record of a sharing, in one tag: how far it is, until when, with whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) until_ms: Option<u64>,
    pub(crate) accounts: Vec<String>,
}

/// Perhaps not shared yet.
pub(crate) const BEGUN: &str = "begun";
/// Shared.
pub(crate) const SHARED: &str = "shared";
/// Not shared any more.
pub(crate) const ENDED: &str = "ended";
const FOR_EVER: &str = "-";

impl Shared {
    pub(crate) fn text(&self, state: &str) -> String {
        let until = self.until_ms.map_or_else(|| FOR_EVER.to_owned(), time::rfc3339);
        format!("{state} {until} {}", self.accounts.join(" "))
    }

    /// None once it is ended.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        words.next().filter(|state| *state != ENDED)?;
        let until_ms = words.next().and_then(time::epoch_ms);
        Some(Self { until_ms, accounts: words.map(str::to_owned).collect() })
    }
}

fn end_ms(age: stillpoint_policy::Age, from_ms: u64) -> Option<u64> {
    let from = Timestamp::from_millisecond(i64::try_from(from_ms).ok()?).ok()?;
    u64::try_from(age.end(from).as_millisecond()).ok()
}
