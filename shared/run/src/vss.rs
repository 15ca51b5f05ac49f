//! A set that a VSS document made on the instance: which snapshots it has, and what is
//! proven of them.
//!
//! Its proof is the tag `AppConsistent`, which the document writes to a snapshot after it
//! found that the freeze covered it. The tag alone counts: a document that did not end
//! well is not believed, whatever its tags say.

use crate::{
    Cause, Code, Consistency, Proof, Run, SnapshotSet, SnapshotTaken, SnapshotVerdict, Volume,
};

/// The document's parameter that keeps the applications' writers out of the snapshot.
const NO_WRITERS: &str = "NoWriters";

/// What was found, and what the document says that it made: one that EC2 does not show
/// yet exists all the same, and must not be made a second time.
pub(crate) fn all_of_it(run: &Run, found: Option<&SnapshotSet>) -> Option<SnapshotSet> {
    let mut set = SnapshotSet { adopted: true, ..found.cloned().unwrap_or_default() };
    if run.set_is_of_vss() {
        for named in named(run) {
            if !set.snapshots.iter().any(|one| one.snapshot_id == named.snapshot_id) {
                set.snapshots.push(named.clone());
            }
        }
    }
    (!set.snapshots.is_empty()).then_some(set)
}

fn named(run: &Run) -> &[SnapshotTaken] {
    match run.vss.as_ref().and_then(|vss| vss.report.as_ref()).map(|report| &report.proof) {
        Some(Proof::Vss { snapshots, .. }) => snapshots,
        _ => &[],
    }
}

/// How long the document held writers.
pub(crate) fn frozen_ms(run: &Run) -> Option<u64> {
    match run.vss.as_ref()?.report.as_ref()?.proof {
        Proof::Vss { frozen_ms, .. } => frozen_ms,
        _ => None,
    }
}

/// Each snapshot of the set by itself, the set as a whole, and why not better.
pub(crate) fn judge(
    run: &Run,
    set: &SnapshotSet,
) -> (Consistency, Option<Cause>, Vec<SnapshotVerdict>) {
    let doubt = run.doubt.clone().or_else(|| no_writers(run));
    let label = |snapshot: &SnapshotTaken| match (&doubt, snapshot.app_consistent) {
        (None, Some(true)) => Consistency::Application,
        _ => Consistency::Crash,
    };
    let device = |id: &str| run.order.volume(id).map(|one| one.device.clone()).unwrap_or_default();
    let snapshots: Vec<_> = set
        .snapshots
        .iter()
        .map(|snapshot| SnapshotVerdict {
            snapshot_id: snapshot.snapshot_id.clone(),
            volume_id: snapshot.volume_id.clone(),
            device: device(&snapshot.volume_id),
            consistency: label(snapshot),
        })
        .collect();
    let cause = doubt.or_else(|| bare(run, set)).or_else(|| missing(run, set));
    let whole = if cause.is_none() { Consistency::Application } else { Consistency::Crash };
    (whole, cause, snapshots)
}

fn no_writers(run: &Run) -> Option<Cause> {
    let values = run.order.script.as_ref()?.parameters.get(NO_WRITERS)?;
    let asked = values.iter().any(|value| value.eq_ignore_ascii_case("true"));
    asked.then(|| {
        let text = "NoWriters: the filesystems were quiesced, the applications were not asked";
        Cause::new(Code::VssNoWriters, text)
    })
}

/// A volume that the policy leaves out is in the set all the same, since the document takes
/// what is mounted; it has its own label and does not pull the others down.
fn bare(run: &Run, set: &SnapshotSet) -> Option<Cause> {
    let left_out =
        |one: &&SnapshotTaken| run.order.left_out.iter().any(|out| out.volume_id == one.volume_id);
    let wanted = set.snapshots.iter().filter(|one| !left_out(one));
    let one = wanted.into_iter().find(|one| one.app_consistent != Some(true))?;
    let says = match one.app_consistent {
        Some(false) => "its tag AppConsistent is not true",
        _ => "it has no tag AppConsistent",
    };
    let text = format!("{} of {}: {says}", one.snapshot_id, one.volume_id);
    Some(Cause::new(Code::VssNotConsistent, text))
}

/// The document takes what Windows shows as mounted; a disk that is offline, raw or
/// attached since is not in its set.
fn missing(run: &Run, set: &SnapshotSet) -> Option<Cause> {
    let taken = |volume: &&Volume| {
        set.snapshots.iter().any(|snapshot| snapshot.volume_id == volume.volume_id)
    };
    let bare: Vec<_> = run
        .order
        .volumes
        .iter()
        .filter(|volume| !taken(volume))
        .map(|volume| format!("{} ({})", volume.volume_id, volume.device))
        .collect();
    let text = format!("the document made no snapshot of {}", bare.join(", "));
    (!bare.is_empty()).then(|| Cause::new(Code::VssIncomplete, text))
}
