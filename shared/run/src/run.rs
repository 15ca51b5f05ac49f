//! What is remembered of a run. Nothing here can be derived from the rest of it.

use serde::{Deserialize, Serialize};

use crate::{Cause, DELIVERY_SECS, Handler, Order, Proof, ProofState, Verdict};

/// What a delivery may be late, clocks and all.
const LATE_MS: u64 = 5_000;
/// So many attempts that were throttled inside their window are repeated whatever
/// MaximumRetryCount says.
const WINDOWS_THROTTLED_MAX: u32 = 2;

/// The state of a run, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// What was asked for.
    pub order: Order,
    /// Where it stands.
    pub phase: Phase,
    /// The attempt that is under way, from 1; 0 before the first.
    pub attempt: u32,
    /// The execution id whose hold may be in place and must be released. Set in the
    /// write that precedes the pre-script; cleared only by an answer which says that
    /// nothing is held any more.
    pub thaw_owed: Option<String>,
    /// How often the post-script of this attempt was tried.
    pub post_tries: u32,
    /// How often CreateSnapshots was throttled while nothing was held.
    pub throttles: u32,
    /// How often it was throttled while something was held, which ended the attempt.
    #[serde(default)]
    pub windows_throttled: u32,
    /// Whether the start window was over when the run was taken up again: what is owed is
    /// done, and nothing new is begun.
    #[serde(default)]
    pub over: bool,
    /// The last pre-script.
    pub pre: Option<StageReport>,
    /// The last post-script.
    pub post: Option<StageReport>,
    /// The command of a VSS document, which makes the set itself; the last attempt's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vss: Option<VssRun>,
    /// The CreateSnapshots call that made the set, or the last one that failed. None while
    /// only a VSS document may have made one.
    pub create: Option<CreateCall>,
    /// The set.
    pub set: Option<SnapshotSet>,
    /// Why the set cannot be better than crash-consistent, or why there is none.
    pub doubt: Option<Cause>,
    /// Whether a set may exist that nobody answered for: a lost reply, a dead function.
    pub set_uncertain: bool,
    /// The end of it.
    pub verdict: Option<Verdict>,
    /// When the first attempt began, in ms since the epoch.
    pub started_ms: u64,
    /// When the verdict was reached.
    pub ended_ms: Option<u64>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was done.
    New,
    /// A thaw is owed; the pre-script may be running.
    PreScript,
    /// A document that makes the set itself is to be sent, found again, or watched.
    Vss,
    /// CreateSnapshots is to be called, or was called without an answer yet.
    Snapshot,
    /// The post-script is to be run.
    PostScript,
    /// It is not known whether a set exists.
    Settle,
    /// Nothing is held; a crash-consistent set is to be created.
    Fallback,
    /// The verdict stands; it has to be written to tags and sent as an event.
    Report,
    /// Finished.
    Done,
}

/// The command of a document that makes the set itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VssRun {
    /// The attempt's own. The command's comment carries it, so that the command is found.
    pub execution_id: String,
    /// Whether it was sent.
    pub sent: Sent,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<StageReport>,
}

/// Whether a command is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Sent {
    /// It is about to be.
    NotYet,
    /// SendCommand may have been called, and its answer is not known.
    Uncertain,
    /// It was.
    #[serde(rename_all = "camelCase")]
    Yes {
        /// SSM's id.
        command_id: String,
        /// When that was known, in ms since the epoch.
        at_ms: u64,
    },
}

/// What a stage of the script came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Ok, failed, ...
    pub result: StageResult,
    /// The execution id it ran under.
    pub execution_id: String,
    /// SSM's command id, if there was one.
    pub command_id: Option<String>,
    /// The script's exit code, if it ended.
    pub exit_code: Option<i32>,
    /// What failed, in words for the person on call; empty if nothing did.
    pub cause: String,
    /// What the receipt proves, if there was one.
    pub proof: Proof,
    /// When the command was sent, in ms since the epoch.
    pub started_ms: u64,
    /// When its end was known.
    pub ended_ms: u64,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageResult {
    /// Exit code 0.
    Ok,
    /// It ran and failed.
    Failed,
    /// It did not end in time; it may have had its effect.
    TimedOut,
    /// SSM did not take it: it certainly did not run.
    NotSent,
    /// It is not known whether it ran.
    Unknown,
}

/// The times of a CreateSnapshots call, in ms since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateCall {
    /// When it was sent.
    pub started_ms: u64,
    /// When the answer came.
    pub ended_ms: u64,
}

/// The snapshots of one CreateSnapshots call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSet {
    /// One a volume.
    pub snapshots: Vec<SnapshotTaken>,
    /// Whether it was found by its tag instead of being answered.
    #[serde(default)]
    pub adopted: bool,
}

/// One snapshot of the set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotTaken {
    /// `snap-...`
    pub snapshot_id: String,
    /// `vol-...`
    pub volume_id: String,
    /// What its `AppConsistent` tag says, which only a VSS document writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_consistent: Option<bool>,
}

impl Run {
    /// A run of which nothing was done yet.
    #[must_use]
    pub fn new(order: Order, now_ms: u64) -> Self {
        Self {
            order,
            phase: Phase::New,
            attempt: 0,
            thaw_owed: None,
            post_tries: 0,
            throttles: 0,
            windows_throttled: 0,
            over: false,
            pre: None,
            post: None,
            vss: None,
            create: None,
            set: None,
            doubt: None,
            set_uncertain: false,
            verdict: None,
            started_ms: now_ms,
            ended_ms: None,
        }
    }

    /// Whether another whole attempt is allowed, counted as DLM counts them:
    /// MaximumRetryCount retries after the first. An attempt that EC2's throttling ended is
    /// no failure of the script, so a few of them are not counted.
    #[must_use]
    pub fn attempts_left(&self) -> bool {
        let uncounted = self.windows_throttled.min(WINDOWS_THROTTLED_MAX);
        let script = self.order.runnable_script();
        !self.over && script.is_some_and(|script| self.attempt < script.retries + 1 + uncounted)
    }

    /// Until when the pre-script may still begin, although nothing was seen of it: SSM may
    /// have taken it, and a post-script that overtook it has found nothing to release.
    pub(crate) fn pre_may_come_until_ms(&self) -> Option<u64> {
        let unknown = self.pre.as_ref().filter(|pre| pre.result == StageResult::Unknown)?;
        Some(unknown.ended_ms + u64::from(DELIVERY_SECS) * 1_000 + LATE_MS)
    }

    /// Whether the script is a document that makes the set itself.
    #[must_use]
    pub fn is_vss(&self) -> bool {
        self.order.runnable_script().is_some_and(|script| script.handler == Handler::Vss)
    }

    /// Whether the set, if there is one, was made by a VSS document: we called nothing.
    #[must_use]
    pub fn set_is_of_vss(&self) -> bool {
        self.vss.is_some() && self.create.is_none()
    }

    /// Whether the pre-script of this attempt acknowledged its hold.
    #[must_use]
    pub fn pre_ok(&self) -> bool {
        self.pre.as_ref().is_some_and(|pre| pre.result == StageResult::Ok)
    }

    /// Whether the post-script follows the snapshots: when the policy says so, and also
    /// for a policy that runs only PRE if a receipt proves that something is held.
    pub(crate) fn post_follows(&self) -> bool {
        let held = |report: &StageReport| {
            matches!(&report.proof, Proof::Receipt { state: ProofState::Held, .. })
        };
        self.phase == Phase::Snapshot
            && self.thaw_owed.is_some()
            && self
                .order
                .runnable_script()
                .is_some_and(|script| script.post || self.pre.as_ref().is_some_and(held))
    }
}

impl StageReport {
    /// Whether an answer of the post-script settles that nothing is held: 0 released it,
    /// 203 found it released, 205 found nothing.
    pub(crate) fn says_nothing_held(&self) -> bool {
        match self.result {
            StageResult::Ok => true,
            StageResult::Failed => matches!(self.exit_code, Some(203 | 205)),
            StageResult::TimedOut | StageResult::NotSent | StageResult::Unknown => false,
        }
    }
}
