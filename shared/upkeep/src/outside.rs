//! What is needed of the world, as traits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

pub use stillpoint_drive::outside::{Bus, Clock, Fault, FaultKind};

use crate::lifecycle::decide::Copy;

/// A snapshot as EC2 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `snap-...`
    pub snapshot_id: String,
    /// The volume; of a copy it has no meaning.
    pub volume_id: String,
    /// When it was begun, in ms since the epoch.
    pub started_ms: u64,
    /// `pending`, `completed`, `error`, `recoverable`, `recovering`.
    pub state: String,
    /// `standard` or `archive`.
    pub tier: String,
    /// What was written on it when it was made; nobody can change it.
    pub description: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its size in GiB.
    pub size_gib: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Which snapshots are asked for; always only the account's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that have a tag with this key.
    TagKey(String),
    /// Those that have this tag.
    Tag(String, String),
    /// These.
    Ids(Vec<String>),
}

/// Policies, as they are kept.
pub trait Policies: Sync {
    /// All of them: id and JSON.
    fn policies(&self) -> impl Future<Output = Result<Vec<(String, String)>, Fault>> + Send;
}

/// What EC2 knows, read page by page.
pub trait Shelf: Sync {
    /// The Region that policies and runs are in.
    fn home_region(&self) -> String;
    /// Snapshots of a Region.
    fn snapshots(
        &self,
        region: &str,
        which: &Which,
    ) -> impl Future<Output = Result<Vec<Snapshot>, Fault>> + Send;
    /// The locks in force: snapshot id and the lock's state.
    fn locks(
        &self,
        region: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, Fault>> + Send;
    /// The snapshots that images of the account are made of, and one such image.
    fn images(
        &self,
        region: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, Fault>> + Send;
    /// The instances that exist in the home Region, with their tags.
    fn instances(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<String, BTreeMap<String, String>>, Fault>> + Send;
    /// The instances that volumes are attached to, and as which device.
    fn attachments(
        &self,
        volume_ids: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, (String, String)>, Fault>> + Send;
}

/// Writes on what exists.
pub trait Label: Sync {
    /// Puts tags on resources; again is the same.
    fn label(
        &self,
        region: &str,
        resource_ids: &[String],
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Takes tags off resources; again is the same.
    fn unlabel(
        &self,
        region: &str,
        resource_ids: &[String],
        keys: &[&str],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What only one role may do.
pub trait Deletion: Sync {
    /// Deletes a snapshot; one that is not there is deleted.
    fn delete_snapshot(
        &self,
        region: &str,
        snapshot_id: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Volumes and instances that somebody marked for deletion, with the mark.
    fn discarded(&self) -> impl Future<Output = Result<Vec<Discarded>, Fault>> + Send;
    /// Deletes a volume or terminates an instance; one that is not there is deleted.
    fn discard(&self, one: &Discarded) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A volume or an instance that a restore or a drill made and marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// `vol-...` or `i-...`
    pub resource_id: String,
    /// Attached volumes are left alone.
    pub in_use: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What follows a set: copies, fast restore, sharing. All but the copy can be asked for again.
pub trait Follow: Sync {
    /// Takes a lease that nobody has; false if somebody has it.
    fn take_lease(
        &self,
        name: &str,
        driver: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;
    /// Gives it back.
    fn give_lease(
        &self,
        name: &str,
        driver: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Snapshot and the zones, by name and by id, in which fast restore is on or coming.
    fn fast_restores(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<String, BTreeSet<String>>, Fault>> + Send;
    /// CopySnapshot, sent once: it takes no token.
    fn copy_snapshot(
        &self,
        from_region: &str,
        copy: &Copy,
    ) -> impl Future<Output = Result<String, Fault>> + Send;
    /// EnableFastSnapshotRestores.
    fn enable_fast_restore(
        &self,
        snapshot_id: &str,
        zones: &[String],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// DisableFastSnapshotRestores.
    fn disable_fast_restore(
        &self,
        snapshot_id: &str,
        zones: &[String],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Lets accounts make volumes of a snapshot.
    fn share(
        &self,
        snapshot_id: &str,
        accounts: &[String],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Ends that.
    fn unshare(
        &self,
        snapshot_id: &str,
        accounts: &[String],
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}
