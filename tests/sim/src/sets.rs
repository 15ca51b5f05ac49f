//! The snapshot sets that came into being, found by run and by snapshot.

use std::collections::BTreeMap;

use stillpoint_run::SnapshotSet;

/// A snapshot set, and what held when it came into being.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) run_id: String,
    pub(crate) instance_id: String,
    pub(crate) set: SnapshotSet,
    pub(crate) made_ms: u64,
    /// The execution id that was held, and whether it was our agent that held it.
    pub(crate) held: Option<(String, bool)>,
    /// Until then the search by tag does not show it.
    pub(crate) hidden_until_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    all: Vec<Set>,
    by_run: BTreeMap<String, Vec<usize>>,
    by_snapshot: BTreeMap<String, usize>,
}

impl Sets {
    /// One more.
    pub(crate) fn add(&mut self, set: Set) {
        let place = self.all.len();
        self.by_run.entry(set.run_id.clone()).or_default().push(place);
        for one in &set.set.snapshots {
            self.by_snapshot.insert(one.snapshot_id.clone(), place);
        }
        self.all.push(set);
    }

    /// Those of a run.
    pub(crate) fn of_run(&self, run_id: &str) -> impl ExactSizeIterator<Item = &Set> {
        let places = self.by_run.get(run_id).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| &self.all[*place])
    }

    /// The one that a snapshot belongs to.
    pub(crate) fn of_snapshot(&self, snapshot_id: &str) -> Option<&Set> {
        self.by_snapshot.get(snapshot_id).map(|place| &self.all[*place])
    }
}
