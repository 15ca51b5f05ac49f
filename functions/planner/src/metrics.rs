//! A firing as metrics.

use stillpoint_telemetry::{Unit, emf};

/// How many instances a firing found: those with a run, and those that were left out.
pub(crate) fn targeted(
    policy_id: &str,
    schedule_name: &str,
    targets: usize,
    now_ms: u64,
) -> String {
    let metrics = [("ResourcesTargeted", targets as u64, Unit::Count)];
    emf(now_ms, policy_id, &metrics, &[("schedule", schedule_name)])
}
