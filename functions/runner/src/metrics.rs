//! A finished run as metrics: DLM's names where DLM has one, and our own.

use stillpoint_run::{Consistency, Outcome, Run, StageResult};
use stillpoint_telemetry::{Unit, emf};

/// The metrics of a run that has its verdict, as one line; none before.
#[must_use]
pub fn finished(run: &Run, now_ms: u64) -> Option<String> {
    let verdict = run.verdict.as_ref()?;
    let mut metrics = vec![];
    let mut count = |name, is: bool| metrics.push((name, u64::from(is), Unit::Count));
    // As DLM counts: a create action is one however often it was tried.
    count("SnapshotsCreateStarted", run.create.is_some() || run.vss.is_some());
    count("SnapshotsCreateCompleted", run.set.is_some());
    count("SnapshotsCreateFailed", verdict.outcome == Outcome::Failed);
    let vss = run.vss.as_ref().and_then(|vss| vss.report.as_ref());
    for (report, [started, completed, failed]) in [
        (run.pre.as_ref(), ["PreScriptStarted", "PreScriptCompleted", "PreScriptFailed"]),
        (run.post.as_ref(), ["PostScriptStarted", "PostScriptCompleted", "PostScriptFailed"]),
        (vss, ["VSSBackupStarted", "VSSBackupCompleted", "VSSBackupFailed"]),
    ] {
        if let Some(report) = report {
            count(started, report.result != StageResult::NotSent);
            count(completed, report.result == StageResult::Ok);
            count(failed, report.result != StageResult::Ok);
        }
    }
    count("ThawUnconfirmed", verdict.thaw_unconfirmed);
    count("ApplicationConsistent", verdict.consistency == Some(Consistency::Application));
    if let Some(frozen_ms) = verdict.frozen_ms {
        metrics.push(("FrozenMilliseconds", frozen_ms, Unit::Milliseconds));
    }
    let cause = verdict.cause.as_ref();
    // The dashboard's table of runs that were not good reads these.
    let facts = [
        ("runId", run.order.run_id.as_str()),
        ("instanceId", &run.order.instance_id),
        ("outcome", verdict.outcome.as_str()),
        ("consistency", verdict.consistency.map_or("none", Consistency::as_str)),
        ("code", cause.map_or("", |cause| cause.code.as_str())),
        ("reason", cause.map_or("", |cause| cause.text.as_str())),
    ];
    Some(emf(now_ms, &run.order.policy_id, &metrics, &facts))
}
