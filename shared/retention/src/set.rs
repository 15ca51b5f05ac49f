//! Snapshots as sets: what belongs together, and whether it is good.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::{Inventory, Kind, Owned, Snapshot, State, Tier};
use crate::reason::Flaw;

/// All that there is of one set, in one Region.
#[derive(Clone, Debug)]
pub(crate) struct Set<'a> {
    /// At least one, by id.
    pub(crate) snapshots: Vec<&'a Snapshot>,
}

/// The sets of an inventory by run and kind, each from the newest to the oldest, and the snapshots
/// that only look like ours.
pub(crate) fn assemble(inventory: &Inventory) -> (Vec<Set<'_>>, Vec<&Snapshot>) {
    let mut sets: BTreeMap<(&str, Kind), Vec<&Snapshot>> = BTreeMap::new();
    let mut foreign = Vec::new();
    for snapshot in &inventory.snapshots {
        let owned = &snapshot.owned;
        if snapshot.proven {
            sets.entry((&owned.set_id, owned.kind)).or_default().push(snapshot);
        } else {
            foreign.push(snapshot);
        }
    }
    let mut sets: Vec<Set<'_>> = sets
        .into_values()
        .map(|mut snapshots| {
            snapshots.sort_by(|one, other| one.snapshot_id.cmp(&other.snapshot_id));
            Set { snapshots }
        })
        .collect();
    sets.sort_by(|one, other| {
        let age = |set: &Set<'_>| (set.started_ms(), set.owned().set_id.clone());
        age(other).cmp(&age(one))
    });
    (sets, foreign)
}

impl<'a> Set<'a> {
    /// What the tags say that all snapshots of a set share.
    pub(crate) fn owned(&self) -> &'a Owned {
        &self.snapshots[0].owned
    }

    /// EC2 gives all snapshots of a set one start time; copies are begun one by one.
    pub(crate) fn started_ms(&self) -> u64 {
        self.snapshots.iter().map(|one| one.started_ms).min().unwrap_or(0)
    }

    pub(crate) fn volumes(&self) -> BTreeSet<&'a str> {
        self.snapshots.iter().map(|one| one.volume_id.as_str()).collect()
    }

    /// Nothing of it holds any data.
    pub(crate) fn is_empty_of_data(&self) -> bool {
        self.snapshots.iter().all(|one| one.state == State::Error)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.snapshots.iter().any(|one| one.state == State::Pending)
    }

    pub(crate) fn is_archived(&self) -> bool {
        self.snapshots.iter().any(|one| one.tier == Tier::Archive)
    }

    /// The latest of the expiries, if each has one: a tag that was lost makes nothing go.
    pub(crate) fn expires_ms(&self) -> Option<u64> {
        let all: Option<Vec<u64>> = self.snapshots.iter().map(|one| one.owned.expires_ms).collect();
        all?.into_iter().max()
    }

    /// When the whole set may be deleted, if all of it is marked.
    pub(crate) fn delete_after_ms(&self) -> Option<u64> {
        let all: Option<Vec<u64>> =
            self.snapshots.iter().map(|one| one.owned.delete_after_ms).collect();
        all?.into_iter().max()
    }

    pub(crate) fn is_marked_at_all(&self) -> bool {
        self.snapshots.iter().any(|one| one.owned.delete_after_ms.is_some())
    }

    pub(crate) fn deleting_ms(&self) -> Option<u64> {
        self.snapshots.iter().filter_map(|one| one.owned.deleting_ms).max()
    }

    /// Why it is not good; none if it is.
    pub(crate) fn flaw(&self, require_application: bool) -> Option<Flaw> {
        let has = |state| self.snapshots.iter().any(|one| one.state == state);
        let owned = self.owned();
        let (present, size) = (self.snapshots.len(), owned.set_size);
        if has(State::Error) {
            Some(Flaw::Failed)
        } else if self.is_pending() {
            Some(Flaw::Pending)
        } else if has(State::Recoverable) {
            Some(Flaw::InRecycleBin)
        } else if self.is_archived() {
            Some(Flaw::Archived)
        } else if self.volumes().len() < present {
            Some(Flaw::TwiceAVolume)
        } else if let Some(size) = size.filter(|size| present < *size) {
            Some(Flaw::Incomplete { present, size })
        } else if owned.drill_passed == Some(false) {
            Some(Flaw::DrillFailed)
        } else if require_application && !owned.application {
            Some(Flaw::NotApplication)
        } else {
            None
        }
    }
}
