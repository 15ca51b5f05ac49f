//! Everything that the outside can tell a run ([`Seen`]) and everything that can
//! become true of it ([`Fact`]). Both are closed: a new one forces a decision.

use serde::{Deserialize, Serialize};

use crate::{Cause, CreateCall, SnapshotSet, SnapshotTaken, StageReport, Verdict};

/// An answer from the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody begins to drive the run, for the first time or after somebody else
    /// stopped half-way. Carries the execution id that the next attempt would have.
    Begin {
        /// For attempt `run.attempt + 1`.
        next_execution_id: String,
        /// In ms since the epoch.
        now_ms: u64,
    },
    /// The pre-script, the post-script or the VSS document, whichever was owed, ended.
    Script {
        /// How.
        end: Box<CommandEnd>,
        /// For another attempt, if one is made.
        next_execution_id: String,
    },
    /// The command of the VSS document is under way: SSM answered, or shows it.
    Sent {
        /// SSM's id.
        command_id: String,
        /// In ms since the epoch.
        now_ms: u64,
    },
    /// No answer to SendCommand came: the VSS document may run.
    SendLost,
    /// CreateSnapshots answered with a set.
    Created(SnapshotSet, CreateCall),
    /// CreateSnapshots was refused: there is no set of this call.
    CreateRefused {
        /// What EC2 said. [`crate::Code::CreateThrottled`] may succeed later.
        cause: Cause,
        /// When.
        call: CreateCall,
    },
    /// No answer came: a set may exist, or come into being yet.
    CreateLost {
        /// What happened to the call.
        why: String,
        /// When.
        call: CreateCall,
    },
    /// The search for what the run made (by its tag; what a VSS document made also by
    /// time) ended, after the settle time.
    Found {
        /// The set, if there is one.
        set: Option<SnapshotSet>,
        /// For another attempt, if one is made.
        next_execution_id: String,
    },
    /// Tags, instance tags and event are written.
    Reported,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandEnd {
    /// The whole story of it.
    pub report: StageReport,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
}

/// What a receipt proves. The wire's receipt in the run's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Proof {
    /// The output had no receipt: nothing is proven, nothing is denied.
    #[default]
    None,
    /// Every step of the document was skipped by its precondition, which SSM reports as
    /// success: nothing ran.
    Skipped,
    /// The output claims to be a receipt and cannot be read.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// A receipt.
    #[serde(rename_all = "camelCase")]
    Receipt {
        /// What it says of the hold.
        state: ProofState,
        /// The execution id it names.
        execution_id: String,
        /// The boot it belongs to.
        boot_id: String,
        /// The EBS volumes that were frozen.
        volumes: Vec<String>,
        /// How long writers were held.
        frozen_ms: Option<u64>,
        /// The agent's own words.
        reason: String,
    },
    /// The result of a VSS document.
    #[serde(rename_all = "camelCase")]
    Vss {
        /// Its own error code; 0 if everything went well.
        error: i64,
        /// The VSS snapshot set, if it names one.
        set_id: String,
        /// How long writers were held, if it says so.
        frozen_ms: Option<u64>,
        /// The snapshots that it made.
        snapshots: Vec<SnapshotTaken>,
    },
}

/// The state that a receipt proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofState {
    /// Everything is frozen and acknowledged.
    Held,
    /// Released by the post-script, after a hold without a gap.
    ReleasedUnbroken,
    /// The deadline released it before the post-script came.
    AutoThawed,
    /// The hold had a gap.
    Broken,
    /// There is no hold: refused, failed and rolled back, or nothing held.
    NoHold,
}

/// Something that became true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A new attempt: from here on a thaw is owed, or a set may exist that a VSS document made.
    AttemptStarted {
        /// From 1.
        attempt: u32,
        /// The attempt's own.
        execution_id: String,
    },
    /// There is no script to run: straight to CreateSnapshots, with nothing held.
    NoScript(Cause),
    /// Somebody stopped half-way; what was under way is not known.
    Interrupted {
        /// Whether the start window is over by now.
        over: bool,
    },
    /// The VSS document is under way.
    CommandSent {
        /// SSM's id.
        command_id: String,
        /// In ms since the epoch.
        at_ms: u64,
    },
    /// It is not known whether the VSS document was sent.
    SendUncertain,
    /// The VSS document ended; what it made is searched for next.
    VssEnded(StageReport, Option<Cause>),
    /// The pre-script ended.
    PreEnded(StageReport, Option<Cause>),
    /// A set exists.
    SetCreated(SnapshotSet, CreateCall),
    /// This call made no set.
    CreateFailed(Cause, CreateCall),
    /// CreateSnapshots is tried again later; nothing is held meanwhile.
    CreatePostponed(CreateCall),
    /// It is not known whether a set exists.
    CreateUncertain(Cause, CreateCall),
    /// The post-script ended; `again` if it is tried once more.
    PostEnded {
        /// The story.
        report: StageReport,
        /// Whether the post-script alone is repeated.
        again: bool,
    },
    /// The search found this set.
    SetAdopted(SnapshotSet),
    /// The search found nothing: there is no set.
    NoSetFound,
    /// The retries are used up; a crash-consistent set is made instead.
    FallbackChosen,
    /// The verdict.
    Judged(Verdict),
    /// Everybody who has to know knows.
    Finished,
}
