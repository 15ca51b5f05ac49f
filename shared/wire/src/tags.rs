//! The tag keys, written once, and the tags of a run.

use std::collections::BTreeMap;

use stillpoint_run::{Code, Consistency, Order, Run, SnapshotVerdict, StageResult};

/// The run that made the snapshot; what a lost set is searched by.
pub const RUN_ID: &str = "stillpoint:run-id";
/// Its policy.
pub const POLICY_ID: &str = "stillpoint:policy-id";
/// Its schedule.
pub const SCHEDULE_NAME: &str = "stillpoint:schedule-name";
/// The instance.
pub const INSTANCE_ID: &str = "stillpoint:instance-id";
/// The device of the volume.
pub const DEVICE: &str = "stillpoint:device";
/// `pending` until the verdict, then `application`, `claimed` or `crash`.
pub const CONSISTENCY: &str = "stillpoint:consistency";
/// Why not `application`.
pub const REASON: &str = "stillpoint:reason";
/// `SUCCESS` or `FAILED`, as DLM's tag of that name.
pub const PRE_SCRIPT: &str = "stillpoint:pre-script";
/// `SUCCESS` or `FAILED`.
pub const POST_SCRIPT: &str = "stillpoint:post-script";
/// How long writers were held.
pub const FROZEN_MS: &str = "stillpoint:frozen-ms";
/// On a set that is kept by age: when it goes.
pub const EXPIRES_AT: &str = "stillpoint:expires-at";
/// How many snapshots the set has.
pub const SET_SIZE: &str = "stillpoint:set-size";
/// The label of the set: the worst of its data volumes, where the boot volume has its own.
pub const SET_CONSISTENCY: &str = "stillpoint:set-consistency";
/// The mark on a set, a volume or an instance that goes: not before this time. Empty, it is none.
pub const DELETE_AFTER: &str = "stillpoint:delete-after";
/// When the deletion of the set was begun.
pub const DELETING_AT: &str = "stillpoint:deleting-at";
/// `passed` or `failed` of the last restore drill, and when.
pub const DRILL: &str = "stillpoint:drill";
/// How the value of [`DRILL`] begins after a drill that the set passed.
pub const DRILL_PASSED: &str = "passed";
/// How it begins after one that it failed.
pub const DRILL_FAILED: &str = "failed";
/// On a copy: the snapshot that it was made of.
pub const COPY_OF: &str = "stillpoint:copy-of";
/// On a copy: the volume, since EC2 shows none that has a meaning.
pub const VOLUME_ID: &str = "stillpoint:volume-id";
/// The zones in which fast restore was turned on here.
pub const FAST_RESTORE: &str = "stillpoint:fast-restore";
/// How far the sharing is, until when, and with whom.
pub const SHARED: &str = "stillpoint:shared";
/// On what a restore or a drill made, and on the volumes that it replaced.
pub const JOB_ID: &str = "stillpoint:job-id";
/// On a volume that a restore took out of an instance: that restore.
pub const REPLACED_BY: &str = "stillpoint:replaced-by";
/// On the instance: the last run's outcome.
pub const LAST_OUTCOME: &str = "stillpoint:last-outcome";
/// On the instance: when the last application-consistent set was made.
pub const LAST_APPLICATION_CONSISTENT: &str = "stillpoint:last-application-consistent";

/// EC2's limit for a tag's value, in characters.
const TAG_VALUE_CHARS_MAX: usize = 256;

/// The tags that every snapshot of the set is created with: the policy's, then ours,
/// which win.
#[must_use]
pub fn at_creation(order: &Order) -> BTreeMap<String, String> {
    let mut tags = order.tags.clone();
    for (key, value) in [
        (RUN_ID, order.run_id.as_str()),
        (POLICY_ID, &order.policy_id),
        (SCHEDULE_NAME, &order.schedule_name),
        (INSTANCE_ID, &order.instance_id),
        (CONSISTENCY, "pending"),
    ] {
        tags.insert(key.to_owned(), value.to_owned());
    }
    tags
}

/// The tags that the verdict adds to one snapshot; to one that a VSS document made also
/// those that it could not be created with.
#[must_use]
pub fn of_verdict(run: &Run, snapshot: &SnapshotVerdict) -> BTreeMap<String, String> {
    let mut tags = if run.set_is_of_vss() { at_creation(&run.order) } else { BTreeMap::new() };
    let mut put = |key: &str, value: String| {
        if !value.is_empty() {
            tags.insert(key.to_owned(), value.chars().take(TAG_VALUE_CHARS_MAX).collect());
        }
    };
    let verdict = run.verdict.as_ref();
    put(DEVICE, snapshot.device.clone());
    if let Some(verdict) = verdict {
        put(SET_SIZE, verdict.snapshots.len().to_string());
        put(SET_CONSISTENCY, verdict.consistency.map_or("", Consistency::as_str).to_owned());
    }
    put(CONSISTENCY, snapshot.consistency.as_str().to_owned());
    if snapshot.consistency != Consistency::Application {
        let cause = verdict.and_then(|verdict| verdict.cause.as_ref());
        let own = format!("{}: not frozen by the agent", Code::VolumeNotHeld.as_str());
        put(REASON, cause.map_or(own, ToString::to_string));
    }
    let word = |result| if result == StageResult::Ok { "SUCCESS" } else { "FAILED" }.to_owned();
    put(PRE_SCRIPT, run.pre.as_ref().map(|pre| word(pre.result)).unwrap_or_default());
    put(POST_SCRIPT, run.post.as_ref().map(|post| word(post.result)).unwrap_or_default());
    let frozen_ms = verdict.and_then(|verdict| verdict.frozen_ms);
    put(FROZEN_MS, frozen_ms.map(|ms| ms.to_string()).unwrap_or_default());
    tags
}

/// The tags that the verdict leaves on the instance.
#[must_use]
pub fn of_instance(run: &Run, now: &str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    if let Some(verdict) = &run.verdict {
        let words = match (&verdict.consistency, &verdict.cause) {
            (Some(consistency), _) => {
                format!("{} {} {now}", verdict.outcome.as_str(), consistency.as_str())
            }
            (None, Some(cause)) => {
                format!("{} {} {now}", verdict.outcome.as_str(), cause.code.as_str())
            }
            (None, None) => format!("{} {now}", verdict.outcome.as_str()),
        };
        tags.insert(LAST_OUTCOME.to_owned(), words);
        if verdict.consistency == Some(Consistency::Application) {
            tags.insert(LAST_APPLICATION_CONSISTENT.to_owned(), now.to_owned());
        }
    }
    tags
}
