//! What exists, at one moment, in one Region.

use std::collections::{BTreeMap, BTreeSet};

/// Every snapshot that claims to be ours, and the instances that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In any order.
    pub snapshots: Vec<Snapshot>,
    /// Each instance that exists, with the ids of the policies that target it. One that is not
    /// here is gone.
    pub instances: BTreeMap<String, BTreeSet<String>>,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `snap-...`
    pub snapshot_id: String,
    /// The volume it was made of, also where this is a copy.
    pub volume_id: String,
    /// When it was begun.
    pub started_ms: u64,
    /// EC2's state.
    pub state: State,
    /// Where its data is.
    pub tier: Tier,
    /// A lock that is in force, as EC2 names it.
    pub lock: Option<String>,
    /// An image that is made of it.
    pub image_id: Option<String>,
    /// What its tags say.
    pub owned: Owned,
    /// Whether something that nobody can put on a snapshot afterwards says that it is ours: its
    /// description, or DLM's own tags on a set that was adopted. Tags alone can be copied.
    pub proven: bool,
}

/// The state of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not all data is there yet.
    Pending,
    /// All data is there.
    Completed,
    /// There is no data.
    Error,
    /// In the Recycle Bin, or on its way out of it.
    Recoverable,
}

/// The storage tier of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// At hand.
    Standard,
    /// In the archive, or on the way there.
    Archive,
}

/// What the tags of a snapshot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The run that made it; the same for the whole set.
    pub set_id: String,
    /// The policy.
    pub policy_id: String,
    /// The schedules: more than one where several fired at the same time.
    pub schedules: Vec<String>,
    /// The instance.
    pub instance_id: String,
    /// Whether it is the set itself or its copy in another Region.
    pub kind: Kind,
    /// How many snapshots the set had; not known before the run's verdict.
    pub set_size: Option<usize>,
    /// Whether the set is proven to be application-consistent.
    pub application: bool,
    /// What a drill found; none if there was none.
    pub drill_passed: Option<bool>,
    /// When it goes, fixed when it was made; only in schedules that retain by age.
    pub expires_ms: Option<u64>,
    /// The mark: when it may be deleted.
    pub delete_after_ms: Option<u64>,
    /// When its deletion was begun.
    pub deleting_ms: Option<u64>,
}

/// Which of a set's appearances this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// As CreateSnapshots made it.
    Original,
    /// A copy, in another Region than the run.
    Copy,
}
