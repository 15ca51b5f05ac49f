//! A firing as metrics.

use stillpoint_telemetry::{Unit, emf};

/// Writes how many instances a firing found: those with a run, and those that were left out.
#[expect(clippy::print_stdout, reason = "an embedded metric is a line on stdout")]
pub(crate) fn targeted(policy_id: &str, schedule_name: &str, targets: usize, now_ms: u64) {
    let metrics = [("ResourcesTargeted", targets as u64, Unit::Count)];
    println!("{}", emf(now_ms, policy_id, &metrics, &[("schedule", schedule_name)]));
}
