//! The identifiers, all derived, so that the same occasion has the same id wherever
//! and how often it is computed.

use sha2::{Digest, Sha256};
use stillpoint_run::Order;

/// The run id of one instance in one firing of one schedule.
#[must_use]
pub fn run_id(policy_id: &str, schedule: &str, nominal_time: &str, instance_id: &str) -> String {
    let hash = digest(&["run", policy_id, schedule, nominal_time, instance_id]);
    format!("run-{}", hex(&hash[..10]))
}

/// The id of an occasion that never became a run: a refused policy, an unreadable message.
#[must_use]
pub fn refusal_id(what: &str, key: &str) -> String {
    format!("refused-{}", hex(&digest(&["refused", what, key])[..10]))
}

/// The id of a set that was not made by a run of ours, from what tells it from others.
#[must_use]
pub fn adopted_id(policy_id: &str, key: &str) -> String {
    format!("adopted-{}", hex(&digest(&["adopted", policy_id, key])[..10]))
}

/// The id of a restore or a drill, from the request for it.
#[must_use]
pub fn job_id(kind: &str, request_id: &str) -> String {
    format!("{kind}-{}", hex(&digest(&["job", kind, request_id])[..10]))
}

/// The execution id of one attempt: a UUID of version 8 (RFC 9562, custom), in the
/// lower-case form that DLM's documents allow.
///
/// It is the same for every instance of a firing, so that one SendCommand, which has one
/// set of parameters, can reach fifty of them. On one instance it is still the attempt's
/// own: two runs of one instance differ in policy, schedule or time, two attempts of one
/// run in their number, and no command leaves the instance that it was sent to.
#[must_use]
pub fn execution_id(order: &Order, attempt: u32) -> String {
    let Order { policy_id, schedule_name, nominal_time, .. } = order;
    let attempt = attempt.to_string();
    let mut bytes = digest(&["execution", policy_id, schedule_name, nominal_time, &attempt]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex(&bytes[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// Parts are separated by a byte that no id contains, so that no two lists collide.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
