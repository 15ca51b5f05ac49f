//! A finished restore or drill as metrics, by the policy of its set.

use stillpoint_restore::{Job, Verdict};
use stillpoint_telemetry::{Unit, emf};

/// Writes the metrics of a job that is over.
#[expect(clippy::print_stdout, reason = "an embedded metric is a line on stdout")]
pub(crate) fn finished(job: &Job, now_ms: u64) {
    let is = |wanted: bool| u64::from(wanted);
    let good = job.verdict == Some(Verdict::Good);
    let bad = matches!(job.verdict, Some(Verdict::Bad { .. }));
    let metrics = if job.order.is_drill() {
        vec![
            ("DrillsPassed", is(good), Unit::Count),
            ("DrillsFailed", is(bad), Unit::Count),
            ("DrillsNotDone", is(!good && !bad), Unit::Count),
        ]
    } else {
        vec![
            ("RestoresCompleted", is(good), Unit::Count),
            ("RestoresFailed", is(!good), Unit::Count),
        ]
    };
    let facts = [("jobId", job.order.id.as_str()), ("runId", &job.order.set_id)];
    println!("{}", emf(now_ms, &job.order.policy_id, &metrics, &facts));
}
