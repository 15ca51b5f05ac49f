//! What retention makes of all sets that there are, Region by Region. It reads and decides; the
//! reaper carries it out, and a person is shown it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use stillpoint_policy::Policy;
use stillpoint_retention::{Inventory, Kind, Plan, Settings, State};
use stillpoint_wire::tags;

use crate::outside::{Clock, Fault, Policies, Shelf, Which};
use crate::{observe, rules};

/// What is to be done, Region by Region.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Regions {
    /// By Region.
    pub regions: BTreeMap<String, Plan>,
}

/// Decides; changes nothing.
///
/// # Errors
/// Any of the reads. Nothing is decided on a part of the facts.
pub async fn plan<O: Policies + Shelf + Clock>(
    outside: &O,
    grace_ms: u64,
) -> Result<Regions, Fault> {
    let policies = rules::load(outside).await?;
    let home = outside.home_region();
    let targets = rules::targets(&policies, &outside.instances().await?);
    let mut regions = BTreeMap::new();
    for region in rules::regions(&home, &policies) {
        let inventory = inventory(outside, &region, &policies, &targets).await?;
        let now_ms = outside.now_ms();
        let now = timestamp(now_ms);
        let copies_in = (region != home).then_some(region.as_str());
        let rules: Vec<_> =
            policies.iter().map(|policy| rules::retention(policy, copies_in, now)).collect();
        let settings = Settings { grace_ms };
        let plan = stillpoint_retention::plan(&inventory, &rules, &settings, now_ms);
        regions.insert(region, plan);
    }
    Ok(Regions { regions })
}

async fn inventory<O: Shelf>(
    outside: &O,
    region: &str,
    policies: &[Policy],
    targets: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Inventory, Fault> {
    let ours = Which::TagKey(tags::POLICY_ID.to_owned());
    let seen = outside.snapshots(region, &ours).await?;
    let locks = outside.locks(region).await?;
    let images = outside.images(region).await?;
    let snapshots = seen.iter().filter_map(observe::snapshot).map(|mut one| {
        if one.owned.kind == Kind::Copy && one.state == State::Error {
            // Another one was made in its place, and the copied set is good without it.
            one.owned.set_id = format!("{}, failed copy {}", one.owned.set_id, one.snapshot_id);
            one.owned.set_size = None;
        }
        one.lock = locks.get(&one.snapshot_id).cloned();
        one.image_id = images.get(&one.snapshot_id).cloned();
        let policy = policies.iter().find(|policy| policy.id == one.owned.policy_id);
        let own = one.owned.expires_ms;
        one.owned.expires_ms = own.or_else(|| {
            policy.and_then(|policy| rules::expiry_ms(policy, &one.owned.schedules, one.started_ms))
        });
        one
    });
    Ok(Inventory { snapshots: snapshots.collect(), instances: targets.clone() })
}

fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}
