//! Why a set stays or goes, for people and for programs.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

/// Why a set is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "flaw")]
pub enum Flaw {
    /// Not all data is there yet.
    Pending,
    /// EC2 could not make one of its snapshots.
    Failed,
    /// Snapshots of it are missing.
    Incomplete {
        /// So many are there.
        present: usize,
        /// Of so many.
        size: usize,
    },
    /// Two snapshots of one volume say that they are of this set.
    TwiceAVolume,
    /// In the archive tier.
    Archived,
    /// In the Recycle Bin.
    InRecycleBin,
    /// A restore drill failed.
    DrillFailed,
    /// The policy requires application-consistency, and it is not proven.
    NotApplication,
}

/// Why a set stays or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "why")]
pub enum Reason {
    /// Nothing but tags says that it is ours, and tags can be copied.
    NotProvenOurs,
    /// There is no policy of that id here.
    NoSuchPolicy,
    /// The policy does not delete while it is DISABLED or in ERROR.
    PolicyNotEnabled,
    /// The policy has no schedule of that name.
    NoSuchSchedule,
    /// The policy does not target the instance any more.
    NotTargeted,
    /// The instance is gone; sets that are kept by count are not managed then.
    InstanceGone,
    /// Copies are not asked for any more, or not in this Region.
    CopiesNotManaged,
    /// Not managed while it is in the archive tier.
    Archived,
    /// In the Recycle Bin, which has its own rules.
    InRecycleBin,
    /// Its deletion was begun long ago and it is here: somebody took it out of the Recycle Bin,
    /// or nobody can delete it. Not managed any more.
    CameBack,
    /// EC2 refuses to delete it.
    Locked {
        /// A snapshot that is locked.
        snapshot_id: String,
        /// EC2's name of the lock.
        lock: String,
    },
    /// An image needs it; deregister that first.
    BehindImage {
        /// A snapshot that an image is made of.
        snapshot_id: String,
        /// The image.
        image_id: String,
    },
    /// Still being made.
    Pending,
    /// One of the good sets that the count is about.
    WithinCount {
        /// Which of the good sets it is, from the newest; 1 is the newest.
        position: usize,
        /// How many stay.
        count: u32,
    },
    /// Not good, and newer than the last good set that the count is about.
    BetweenGoodSets {
        /// Why it does not count.
        flaw: Flaw,
    },
    /// It has not expired.
    NotExpired {
        /// It will then, in ms since the epoch.
        expires_ms: u64,
    },
    /// Kept by age, and it is not known when it expires.
    NoExpiry,
    /// Expired, but so many good sets must stay.
    Floor {
        /// The floor.
        minimum: usize,
    },
    /// No newer good set has this volume.
    LastOfVolume {
        /// The volume.
        volume_id: String,
    },
    /// The newest of a queue that has no good set.
    Newest,
    /// No good set has come for twice the interval of the schedule: nothing is deleted.
    CreatingStopped {
        /// When the newest good set was made, in ms since the epoch; none if there is none.
        newest_good_ms: Option<u64>,
        /// The longest time between two firings.
        interval_ms: u64,
    },
    /// Newer good sets are as many as the count allows.
    BeyondCount {
        /// The count.
        count: u32,
    },
    /// It has expired.
    Expired {
        /// Since then, in ms since the epoch.
        expires_ms: u64,
    },
    /// EC2 could not make it; there is no data in it.
    Failed,
    /// A part of it is deleted already.
    DeletionBegun,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Pending => f.write_str("it is not completed yet"),
            Flaw::Failed => f.write_str("EC2 could not make all of it"),
            Flaw::Incomplete { present, size } => {
                write!(f, "only {present} of its {size} snapshots are left")
            }
            Flaw::TwiceAVolume => f.write_str("it has two snapshots of one volume"),
            Flaw::Archived => f.write_str("it is in the archive tier"),
            Flaw::InRecycleBin => f.write_str("it is in the Recycle Bin"),
            Flaw::DrillFailed => f.write_str("its restore drill failed"),
            Flaw::NotApplication => f.write_str("it is not proven to be application-consistent"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotProvenOurs => f.write_str("not made by Stillpoint, whatever its tags say"),
            Reason::NoSuchPolicy => f.write_str("not managed: its policy does not exist here"),
            Reason::PolicyNotEnabled => {
                f.write_str("nothing is deleted: its policy is not ENABLED")
            }
            Reason::NoSuchSchedule => f.write_str("not managed: its policy has no such schedule"),
            Reason::NotTargeted => {
                f.write_str("not managed: its policy does not target the instance any more")
            }
            Reason::InstanceGone => {
                f.write_str("not managed: the instance is gone and the schedule retains by count")
            }
            Reason::CopiesNotManaged => {
                f.write_str("not managed: the schedule asks for no copies in this Region")
            }
            Reason::Archived => f.write_str("not managed while it is in the archive tier"),
            Reason::InRecycleBin => f.write_str("it is in the Recycle Bin already"),
            Reason::CameBack => f.write_str(
                "not managed: it was deleted before and came back from the Recycle Bin, or it \
                 could not be deleted",
            ),
            Reason::Locked { snapshot_id, lock } => write!(f, "{snapshot_id} is locked ({lock})"),
            Reason::BehindImage { snapshot_id, image_id } => {
                write!(f, "{snapshot_id} is part of {image_id}; deregister the image first")
            }
            Reason::Pending => f.write_str("it is still being made"),
            Reason::WithinCount { position, count } => {
                write!(f, "good set {position} of the {count} that stay")
            }
            Reason::BetweenGoodSets { flaw } => {
                write!(f, "does not count ({flaw}), but is newer than a good set that stays")
            }
            Reason::NotExpired { expires_ms } => write!(f, "expires at {}", time(*expires_ms)),
            Reason::NoExpiry => f.write_str("it is not known when it expires"),
            Reason::Floor { minimum } => write!(f, "one of the {minimum} good sets that must stay"),
            Reason::LastOfVolume { volume_id } => {
                write!(f, "no newer good set has {volume_id}")
            }
            Reason::Newest => f.write_str("the newest set, and there is no good one"),
            Reason::CreatingStopped { newest_good_ms: Some(newest), .. } => write!(
                f,
                "nothing is deleted: no good set since {}, more than twice the schedule's interval",
                time(*newest)
            ),
            Reason::CreatingStopped { newest_good_ms: None, .. } => {
                f.write_str("nothing is deleted: there is no good set")
            }
            Reason::BeyondCount { count } => write!(f, "{count} newer good sets stay"),
            Reason::Expired { expires_ms } => write!(f, "expired at {}", time(*expires_ms)),
            Reason::Failed => f.write_str("EC2 could not make it; there is no data in it"),
            Reason::DeletionBegun => f.write_str("a part of it is deleted already"),
        }
    }
}

fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}
