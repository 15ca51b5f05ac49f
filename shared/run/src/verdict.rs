//! The truth table: what a run came to, from what was recorded of it and nothing else.
//!
//! `application` needs a receipt of one unbroken hold around the whole CreateSnapshots
//! call. The order of the run is the proof of "around": CreateSnapshots is sent after
//! the pre-script's acknowledgement arrived and answered before the post-script is
//! sent, and the post-script's receipt says that the hold had no gap. No clocks are
//! compared.

use serde::{Deserialize, Serialize};

use crate::{
    Cause, Code, Proof, ProofState, Run, SnapshotSet, SnapshotTaken, StageReport, StageResult, vss,
};

/// What is known of the data in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// As after a power cut.
    Crash,
    /// Somebody else's document reported success, without proof.
    Claimed,
    /// Proven by a receipt, or by a VSS document's tag.
    Application,
}

impl Consistency {
    /// The tag's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Claimed => "claimed",
            Self::Application => "application",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As the policy asks.
    Completed,
    /// There is a set, but less was reached than the policy asks.
    CompletedWithIssues,
    /// There is no set, or not the proven one that the policy requires.
    Failed,
}

impl Outcome {
    /// The event's and the tag's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CompletedWithIssues => "completed-with-issues",
            Self::Failed => "failed",
        }
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Completed, with issues, failed.
    pub outcome: Outcome,
    /// Of the set, which is the worst of its data volumes; none if there is no set.
    pub consistency: Option<Consistency>,
    /// Why it is not `completed` and `application`.
    pub cause: Option<Cause>,
    /// Of each snapshot by itself.
    pub snapshots: Vec<SnapshotVerdict>,
    /// How long writers were held, if a receipt says so.
    pub frozen_ms: Option<u64>,
    /// No answer said that the instance is released. Its own deadline will do it, but
    /// somebody should look.
    pub thaw_unconfirmed: bool,
}

/// What is known of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotVerdict {
    /// `snap-...`
    pub snapshot_id: String,
    /// `vol-...`
    pub volume_id: String,
    /// The device that the volume is attached as, if the plan knew it.
    pub device: String,
    /// Of this snapshot.
    pub consistency: Consistency,
}

/// Judges a run whose set, or the lack of one, is settled.
#[must_use]
pub fn judge(run: &Run) -> Verdict {
    let thaw_unconfirmed = run.thaw_owed.is_some() && run.post.is_some();
    let frozen_ms = run.post.as_ref().and_then(frozen_ms).or_else(|| vss::frozen_ms(run));
    let Some(set) = &run.set else {
        return Verdict {
            outcome: Outcome::Failed,
            consistency: None,
            cause: run.doubt.clone(),
            snapshots: vec![],
            frozen_ms,
            thaw_unconfirmed,
        };
    };
    let (consistency, cause, snapshots) =
        if run.set_is_of_vss() { vss::judge(run, set) } else { of_our_set(run, set) };
    let as_asked = match consistency {
        Consistency::Application | Consistency::Claimed => true,
        Consistency::Crash => {
            run.order.script.is_none()
                || cause.as_ref().is_some_and(|cause| cause.code == Code::VssNoWriters)
        }
    };
    let proven = consistency == Consistency::Application;
    let outcome = if run.order.require_application && !proven {
        Outcome::Failed
    } else if as_asked && !thaw_unconfirmed {
        Outcome::Completed
    } else {
        Outcome::CompletedWithIssues
    };
    Verdict {
        outcome,
        consistency: Some(consistency),
        cause,
        snapshots,
        frozen_ms,
        thaw_unconfirmed,
    }
}

/// The set of our own CreateSnapshots: of the whole, why not better, each by itself.
fn of_our_set(run: &Run, set: &SnapshotSet) -> (Consistency, Option<Cause>, Vec<SnapshotVerdict>) {
    let (reached, mut cause) = reached(run);
    let held = held_volumes(run);
    let snapshots: Vec<_> =
        set.snapshots.iter().map(|snapshot| one(run, snapshot, reached, held.as_deref())).collect();
    let consistency = worst(run, &snapshots);
    if reached == Consistency::Application
        && consistency < reached
        && let Some(bare) = snapshots.iter().find(|one| one.consistency < reached)
    {
        let text = format!("{} ({}) was not frozen by the agent", bare.volume_id, bare.device);
        cause = Some(Cause::new(Code::VolumeNotHeld, text));
    }
    (consistency, cause, snapshots)
}

/// What the hold allows at best, and why not better.
fn reached(run: &Run) -> (Consistency, Option<Cause>) {
    let crash = |code, text: String| (Consistency::Crash, Some(Cause::new(code, text)));
    if let Some(doubt) = &run.doubt {
        return (Consistency::Crash, Some(doubt.clone()));
    }
    if run.set.as_ref().is_some_and(|set| set.adopted) {
        return crash(Code::ReplyLost, "the set was found by its tag, not answered".to_owned());
    }
    let (Some(pre), Some(post), true) = (&run.pre, &run.post, run.pre_ok()) else {
        return crash(
            Code::OneStageOnly,
            "only one stage of the script ran around CreateSnapshots".to_owned(),
        );
    };
    match (&pre.proof, &post.proof) {
        (Proof::Unreadable { why }, _) | (_, Proof::Unreadable { why }) => {
            crash(Code::ReceiptUnreadable, why.clone())
        }
        (Proof::Skipped, _) | (_, Proof::Skipped) => crash(
            Code::NothingRan,
            "SSM reports success, but the document's steps were skipped: their precondition does \
             not fit the instance"
                .to_owned(),
        ),
        (Proof::None, Proof::None) => unproven(post),
        (_, Proof::Receipt { state: ProofState::AutoThawed, reason, .. }) => crash(
            Code::AutoThawed,
            format!("the deadline on the instance came before the post-script: {reason}"),
        ),
        (_, Proof::Receipt { state: ProofState::Broken, reason, .. }) => {
            crash(Code::HoldBroken, format!("the hold had a gap: {reason}"))
        }
        (
            Proof::Receipt { state: ProofState::Held, execution_id: before, boot_id: boot, .. },
            Proof::Receipt {
                state: ProofState::ReleasedUnbroken,
                execution_id: after,
                boot_id: boot_after,
                ..
            },
        ) if before == after
            && *before == pre.execution_id
            && boot == boot_after
            && says_released(post) =>
        {
            (Consistency::Application, None)
        }
        _ if !says_released(post) => unconfirmed(post),
        _ => crash(
            Code::HoldBroken,
            "the receipts of pre-script and post-script do not belong to one hold".to_owned(),
        ),
    }
}

/// The word of a document without receipts: all that DLM knows.
fn unproven(post: &StageReport) -> (Consistency, Option<Cause>) {
    let cause = |code, text: &str| Some(Cause::new(code, text));
    match (post.result, post.exit_code) {
        (StageResult::Ok, _) => (
            Consistency::Claimed,
            cause(
                Code::NoReceipt,
                "both scripts exited 0, but the document prints no receipt, so nothing is proven",
            ),
        ),
        (StageResult::Failed, Some(203)) => (
            Consistency::Crash,
            cause(Code::AutoThawed, "exit code 203: released before the post-script came"),
        ),
        (StageResult::Failed, Some(205)) => (
            Consistency::Crash,
            cause(Code::HoldBroken, "exit code 205: the post-script found nothing held"),
        ),
        _ => unconfirmed(post),
    }
}

fn unconfirmed(post: &StageReport) -> (Consistency, Option<Cause>) {
    let text = format!("it is not confirmed that the instance is released: {}", post.cause);
    (Consistency::Crash, Some(Cause::new(Code::ThawUnconfirmed, text)))
}

/// 0 released it now; 205 with a receipt of an unbroken release answers a repeated
/// post-script whose first answer was lost.
fn says_released(post: &StageReport) -> bool {
    post.result == StageResult::Ok
        || (post.result == StageResult::Failed && post.exit_code == Some(205))
}

fn held_volumes(run: &Run) -> Option<Vec<&str>> {
    match run.post.as_ref().map(|post| &post.proof) {
        Some(Proof::Receipt { volumes, .. }) => Some(volumes.iter().map(String::as_str).collect()),
        _ => None,
    }
}

fn frozen_ms(post: &StageReport) -> Option<u64> {
    match &post.proof {
        Proof::Receipt { frozen_ms, .. } => *frozen_ms,
        Proof::None | Proof::Skipped | Proof::Unreadable { .. } | Proof::Vss { .. } => None,
    }
}

fn one(
    run: &Run,
    snapshot: &SnapshotTaken,
    reached: Consistency,
    held: Option<&[&str]>,
) -> SnapshotVerdict {
    let covered = held.is_some_and(|held| held.contains(&snapshot.volume_id.as_str()));
    let consistency = match reached {
        Consistency::Application if !covered => Consistency::Crash,
        Consistency::Application | Consistency::Claimed | Consistency::Crash => reached,
    };
    SnapshotVerdict {
        snapshot_id: snapshot.snapshot_id.clone(),
        volume_id: snapshot.volume_id.clone(),
        device: run.order.volume(&snapshot.volume_id).map(|v| v.device.clone()).unwrap_or_default(),
        consistency,
    }
}

/// The worst of the data volumes. The boot volume carries its own label, since no agent
/// may freeze the filesystem that the instance itself runs from; a set of nothing but
/// the boot volume is judged by it.
fn worst(run: &Run, snapshots: &[SnapshotVerdict]) -> Consistency {
    let is_boot =
        |one: &&SnapshotVerdict| run.order.volume(&one.volume_id).is_some_and(|volume| volume.boot);
    let data = snapshots.iter().filter(|one| !is_boot(one)).map(|one| one.consistency).min();
    data.or_else(|| snapshots.iter().map(|one| one.consistency).min()).unwrap_or(Consistency::Crash)
}
