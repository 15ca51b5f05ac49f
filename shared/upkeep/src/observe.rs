//! A snapshot's tags as what retention knows of it.

use stillpoint_retention::{Kind, Owned, State, Tier};
use stillpoint_wire::tags;
use stillpoint_wire::time;

use crate::outside::Snapshot;

/// DLM's tags cannot be written by anybody else.
pub const DLM_POLICY: &str = "aws:dlm:lifecycle-policy-id";

/// The snapshot for retention; none if its tags do not name policy, run and instance.
#[must_use]
pub fn snapshot(seen: &Snapshot) -> Option<stillpoint_retention::Snapshot> {
    let tag = |key: &str| seen.tags.get(key).filter(|value| !value.is_empty());
    let set_id = tag(tags::RUN_ID)?.clone();
    let policy_id = tag(tags::POLICY_ID)?.clone();
    let kind = if tag(tags::COPY_OF).is_some() { Kind::Copy } else { Kind::Original };
    let when = |key| tag(key).and_then(|value| time::epoch_ms(value));
    // The set's own label, since the boot volume has a worse one of its own.
    let consistency = tag(tags::SET_CONSISTENCY).or_else(|| tag(tags::CONSISTENCY));
    Some(stillpoint_retention::Snapshot {
        snapshot_id: seen.snapshot_id.clone(),
        volume_id: tag(tags::VOLUME_ID).unwrap_or(&seen.volume_id).clone(),
        started_ms: seen.started_ms,
        state: match seen.state.as_str() {
            "completed" => State::Completed,
            "error" => State::Error,
            "recoverable" | "recovering" => State::Recoverable,
            _ => State::Pending,
        },
        tier: if seen.tier == "archive" { Tier::Archive } else { Tier::Standard },
        lock: None,
        image_id: None,
        proven: is_proven(seen, &set_id),
        owned: Owned {
            schedules: schedules(tag(tags::SCHEDULE_NAME).map_or("", String::as_str)),
            instance_id: tag(tags::INSTANCE_ID).cloned().unwrap_or_default(),
            kind,
            set_size: tag(tags::SET_SIZE).and_then(|size| size.parse().ok()),
            application: consistency.is_some_and(|label| label == "application"),
            drill_passed: tag(tags::DRILL).map(|verdict| !verdict.starts_with(tags::DRILL_FAILED)),
            expires_ms: when(tags::EXPIRES_AT),
            delete_after_ms: when(tags::DELETE_AFTER),
            deleting_ms: when(tags::DELETING_AT),
            set_id,
            policy_id,
        },
    })
}

/// The schedules that share a set, from the tag; a schedule's name has no comma.
#[must_use]
pub fn schedules(tag: &str) -> Vec<String> {
    tag.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What nobody can put on a snapshot afterwards: a description that names the run, or DLM's tag.
fn is_proven(seen: &Snapshot, set_id: &str) -> bool {
    seen.description.split([' ', ',']).any(|word| word == set_id)
        || seen.tags.contains_key(DLM_POLICY)
}
