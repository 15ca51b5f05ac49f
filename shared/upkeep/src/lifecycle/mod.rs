//! What follows when a set is complete: copies in other Regions, fast restore, sharing.
//!
//! An event only says that it is worth a look; what is owed is decided from what there is
//! ([`decide::owed`]), so that an event that was lost is made up for by the next sweep. One at a
//! time, since CopySnapshot takes no token: a copy that was asked for is found by its tag.

pub mod decide;

use std::collections::BTreeMap;

use serde::Serialize;
use stillpoint_wire::tags;

use self::decide::{Act, BEGUN, Copy, ENDED, SHARED, Seen, Shared};
use crate::outside::{Clock, Fault, Follow, Label, Policies, Shelf, Which};
use crate::rules;

/// EC2 refills the other changing calls by 5 a second.
const PACE_MS: u64 = 250;
/// Who has the lease of this name is the only one who copies.
pub const LEASE: &str = "lease-lifecycle";

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Somebody else is at it.
    pub busy: bool,
    /// Copies that were begun, by policy.
    pub copied: BTreeMap<String, u64>,
    /// Snapshots that were shared, by policy.
    pub shared: BTreeMap<String, u64>,
    /// Acts that failed and are tried again, by policy.
    pub failed: BTreeMap<String, u64>,
    /// Whether something was left for the next time.
    pub out_of_time: bool,
}

/// Looks at everything and does what is owed, until `stop_at_ms`.
///
/// # Errors
/// Any of the reads, before anything is done.
pub async fn sweep<O>(outside: &O, driver: &str, stop_at_ms: u64) -> Result<Done, Fault>
where
    O: Policies + Shelf + Label + Follow + Clock,
{
    if !outside.take_lease(LEASE, driver, outside.now_ms(), stop_at_ms).await? {
        return Ok(Done { busy: true, ..Done::default() });
    }
    let result = owed(outside, stop_at_ms).await;
    // Until it is given back everybody else waits for the end of the lease.
    if let Err(fault) = outside.give_lease(LEASE, driver).await {
        tracing::warn!(%fault, "the lease ends by itself");
    }
    result
}

async fn owed<O>(outside: &O, stop_at_ms: u64) -> Result<Done, Fault>
where
    O: Policies + Shelf + Label + Follow + Clock,
{
    let policies = rules::load(outside).await?;
    let home = outside.home_region();
    let ours = Which::TagKey(tags::POLICY_ID.to_owned());
    let mut copies = BTreeMap::new();
    for region in rules::regions(&home, &policies).into_iter().filter(|one| *one != home) {
        let found = outside.snapshots(&region, &ours).await?;
        copies.insert(region, found);
    }
    let seen = Seen {
        snapshots: outside.snapshots(&home, &ours).await?,
        copies,
        fast: outside.fast_restores().await?,
    };
    let mut done = Done::default();
    for (policy_id, act) in decide::owed(&seen, &policies, outside.now_ms()) {
        if outside.now_ms() >= stop_at_ms {
            done.out_of_time = true;
            break;
        }
        let counter = match &act {
            Act::Copy(_) => Some(&mut done.copied),
            Act::Share { .. } => Some(&mut done.shared),
            _ => None,
        };
        match perform(outside, &home, &act).await {
            Ok(()) => {
                tracing::info!(policy_id, ?act, "done");
                if let Some(counter) = counter {
                    *counter.entry(policy_id).or_default() += 1;
                }
            }
            Err(fault) => {
                // Its set is looked at again, with the effect in sight if there was one.
                tracing::warn!(policy_id, ?act, %fault, "tried again the next time");
                *done.failed.entry(policy_id).or_default() += 1;
            }
        }
        outside.sleep_ms(PACE_MS).await;
    }
    Ok(done)
}

/// What has to be undone one day is on record before it is done.
async fn perform<O: Label + Follow>(outside: &O, home: &str, act: &Act) -> Result<(), Fault> {
    let tag = |key: &str, value: String| BTreeMap::from([(key.to_owned(), value)]);
    match act {
        Act::Copy(copy) => copy_one(outside, home, copy).await,
        Act::EnableFastRestore { snapshot_id, zones, ours } => {
            let ids = std::slice::from_ref(snapshot_id);
            outside.label(home, ids, &tag(tags::FAST_RESTORE, ours.join(","))).await?;
            outside.enable_fast_restore(snapshot_id, zones).await
        }
        Act::DisableFastRestore { snapshot_id, zones } => {
            outside.disable_fast_restore(snapshot_id, zones).await
        }
        Act::Share { snapshot_id, accounts, unshare_at_ms } => {
            let ids = std::slice::from_ref(snapshot_id);
            let shared = Shared { until_ms: *unshare_at_ms, accounts: accounts.clone() };
            outside.label(home, ids, &tag(tags::SHARED, shared.text(BEGUN))).await?;
            outside.share(snapshot_id, accounts).await?;
            outside.label(home, ids, &tag(tags::SHARED, shared.text(SHARED))).await
        }
        Act::Unshare { snapshot_id, accounts } => {
            outside.unshare(snapshot_id, accounts).await?;
            let ids = std::slice::from_ref(snapshot_id);
            let shared = Shared { until_ms: None, accounts: accounts.clone() };
            outside.label(home, ids, &tag(tags::SHARED, shared.text(ENDED))).await
        }
    }
}

async fn copy_one<O: Follow>(outside: &O, home: &str, copy: &Copy) -> Result<(), Fault> {
    outside.copy_snapshot(home, copy).await.map(drop)
}
