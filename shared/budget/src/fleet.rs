//! What the deployed policies ask of EC2 at one time, against what EC2 grants. Their next firings
//! come in; the moments at which most is asked come out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Rule;

/// How many snapshots a Region holds. Source: Amazon EBS endpoints and quotas; it can be raised.
pub const SNAPSHOTS_PER_REGION: u64 = 100_000;
/// How many snapshots of one gp2, gp3, io1, io2 or standard volume may be unfinished; of st1 and
/// sc1 it is one. Source: Amazon EBS endpoints and quotas.
pub const UNFINISHED_PER_VOLUME: u64 = 5;

/// One firing to come of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// Whose it is.
    pub policy_id: String,
    /// When, in one spelling for all.
    pub at: String,
    /// How many runs it asks for, each of them one CreateSnapshots.
    pub runs: u64,
    /// What is in their sets; the same for all firings of a policy.
    pub volumes: Arc<BTreeSet<String>>,
    /// How long after its time a run may begin.
    pub window_ms: u64,
}

/// Everything that is asked for at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// When.
    pub at: String,
    /// By whom.
    pub policies: BTreeSet<String>,
    /// How many runs.
    pub runs: u64,
    /// How long after the time the last of them is granted its call, if nobody else asks.
    pub last_begins_ms: u64,
    /// The shortest start window among them.
    pub window_ms: u64,
    /// Volumes that are in the sets of more than one policy.
    pub shared: BTreeSet<String>,
}

impl Peak {
    /// Whether the last run begins in its start window.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.last_begins_ms < self.window_ms
    }
}

/// The moments at which anything is asked for, by time.
#[must_use]
pub fn peaks(firings: &[Firing], rule: Rule) -> Vec<Peak> {
    let mut by_time: BTreeMap<&str, Vec<&Firing>> = BTreeMap::new();
    for firing in firings.iter().filter(|firing| firing.runs > 0) {
        by_time.entry(&firing.at).or_default().push(firing);
    }
    by_time.into_iter().map(|(at, firings)| peak(at, &firings, rule)).collect()
}

fn peak(at: &str, firings: &[&Firing], rule: Rule) -> Peak {
    let runs = firings.iter().map(|firing| firing.runs).sum();
    let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for volume in firings.iter().flat_map(|firing| firing.volumes.iter()) {
        if !seen.insert(volume) {
            shared.insert(volume.clone());
        }
    }
    Peak {
        at: at.to_owned(),
        policies: firings.iter().map(|firing| firing.policy_id.clone()).collect(),
        runs,
        last_begins_ms: last_begins_ms(runs, rule),
        window_ms: firings.iter().map(|firing| firing.window_ms).min().unwrap_or(0),
        shared,
    }
}

/// When the last of so many calls is granted that are asked for at once of a full bucket.
#[must_use]
pub fn last_begins_ms(calls: u64, rule: Rule) -> u64 {
    let waiting = calls.saturating_sub(rule.burst);
    waiting.saturating_mul(1_000_000).div_ceil(rule.rate_milli.max(1))
}
