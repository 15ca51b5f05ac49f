//! One invocation: one look at everything that there is, whatever the event was.

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Clock;
use stillpoint_telemetry::{Unit, emf};
use stillpoint_upkeep::lifecycle::{Done, sweep};
use stillpoint_upkeep::outside::Fault;

/// What is left of the invocation when nothing new is begun: the longest single call.
const MARGIN_MS: u64 = 30_000;

/// Handles one invocation, which ends at `dead_at_ms` at the latest.
///
/// # Errors
/// When not all that there is could be read; then nothing was done.
pub async fn handle(cloud: &Cloud, request_id: &str, dead_at_ms: u64) -> Result<Done, Fault> {
    let done = sweep(cloud, request_id, dead_at_ms.saturating_sub(MARGIN_MS)).await?;
    count(&done, cloud.now_ms());
    Ok(done)
}

/// DLM's names, by policy.
#[expect(clippy::print_stdout, reason = "an embedded metric is a line on stdout")]
fn count(done: &Done, now_ms: u64) {
    let all = done.copied.keys().chain(done.shared.keys()).chain(done.failed.keys());
    for policy_id in all.collect::<std::collections::BTreeSet<_>>() {
        let of = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.get(policy_id).copied().unwrap_or(0)
        };
        let metrics = [
            ("SnapshotsCopiedRegionStarted", of(&done.copied), Unit::Count),
            ("SnapshotsSharedCompleted", of(&done.shared), Unit::Count),
            ("LifecycleActsFailed", of(&done.failed), Unit::Count),
        ];
        println!("{}", emf(now_ms, policy_id, &metrics, &[]));
    }
}
