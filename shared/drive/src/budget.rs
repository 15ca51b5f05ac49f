//! Reserves CreateSnapshots calls in the budget that the whole account shares: one read
//! and one conditional write for as many runs as ask at the same time.

use stillpoint_budget::CREATE_SNAPSHOTS;

use crate::outside::{Buckets, Clock, Fault, FaultKind, SaveFault, Slot};

/// Runs whose calls mature in the same two seconds are sent one command together.
pub const WAVE_MS: u64 = 2_000;
/// Somebody else wrote first this often before it is given up. Each time somebody wins.
const TRIES_MAX: u64 = 40;
const WAIT_MS: u64 = 5;
/// Part of the wait, so that those who lost to the same write do not meet again.
const SPREAD_MS: u64 = 40;

/// Reserves a call for each of these times by which it must be possible; in their order.
/// `salt` tells those who ask at the same time apart.
///
/// # Errors
/// When the budget cannot be read or written. Calls may have been reserved, and then are
/// lost to everybody.
pub async fn reserve<S: Clock + Buckets>(
    store: &S,
    by_ms: &[u64],
    salt: u64,
) -> Result<Vec<Slot>, Fault> {
    let mut last = None;
    for tried in 0..TRIES_MAX {
        let (mut bucket, version) = store.bucket().await?;
        let now_ms = store.now_ms();
        let mut slots = vec![];
        for by_ms in by_ms {
            let (at_ms, after) = bucket.reserve(CREATE_SNAPSHOTS, now_ms);
            let at_ms = if at_ms > now_ms { at_ms.next_multiple_of(WAVE_MS) } else { at_ms };
            if at_ms > *by_ms {
                slots.push(Slot::NotBefore(at_ms));
            } else {
                bucket = after;
                slots.push(Slot::At(at_ms));
            }
        }
        if slots.iter().all(|slot| matches!(slot, Slot::NotBefore(_))) {
            return Ok(slots);
        }
        match store.save_bucket(&bucket, version).await {
            Ok(()) => return Ok(slots),
            Err(SaveFault::Overtaken) => last = None,
            Err(SaveFault::Fault(fault)) if fault.kind == FaultKind::Refused => return Err(fault),
            Err(SaveFault::Fault(fault)) => last = Some(fault),
        }
        let spread = salt.wrapping_mul(tried + 1).wrapping_mul(0x9e37_79b9) % SPREAD_MS;
        store.sleep_ms(WAIT_MS + spread).await;
    }
    Err(last.unwrap_or_else(crowded))
}

/// Lowers the rate, for everybody.
///
/// # Errors
/// When it could not be written; the next throttled call will say the same.
pub async fn throttled<S: Clock + Buckets>(store: &S) -> Result<(), Fault> {
    let (bucket, version) = store.bucket().await?;
    let after = bucket.throttled(CREATE_SNAPSHOTS, store.now_ms());
    match store.save_bucket(&after, version).await {
        // Somebody else wrote in between; if they were throttled as well, it is said.
        Ok(()) | Err(SaveFault::Overtaken) => Ok(()),
        Err(SaveFault::Fault(fault)) => Err(fault),
    }
}

fn crowded() -> Fault {
    Fault {
        kind: FaultKind::Retry,
        code: "BudgetCrowded".to_owned(),
        text: format!("somebody else wrote the budget first, {TRIES_MAX} times"),
    }
}
