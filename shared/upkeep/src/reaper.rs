//! Carries out what retention decides: takes marks off, marks, deletes, each paced below what EC2
//! allows, and clears away what restores and drills left behind.
//!
//! Everything is decided anew from what is there, so a reaper that died is followed by one that
//! goes on. A set's deletion is on record, as a tag, before its first snapshot goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stillpoint_retention::{Action, Decision};
use stillpoint_wire::{tags, time};

use crate::outside::{Clock, Deletion, Discarded, Fault, FaultKind, Label, Policies, Shelf};
use crate::retention::plan;

/// EC2 refills DeleteSnapshot by 5 a second; four leave room for people.
const DELETE_PACE_MS: u64 = 250;
/// How many snapshots it deletes a day at most: 14 minutes of each 15, as `infra/template.yaml` has
/// it.
pub const DELETIONS_A_DAY: u64 = 24 * 60 * 60 * 1_000 / DELETE_PACE_MS * 14 / 15;
/// EC2 refills CreateTags by 10 a second, which the runner needs for its verdicts.
const TAG_PACE_MS: u64 = 250;

/// Where and until when.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a set stays after it was marked.
    pub grace_ms: u64,
    /// Nothing is begun after this, in ms since the epoch.
    pub stop_at_ms: u64,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// Sets that were marked.
    pub marked: usize,
    /// Sets whose mark was taken off.
    pub unmarked: usize,
    /// Snapshots that were deleted, by policy.
    pub deleted: BTreeMap<String, u64>,
    /// Snapshots that could not be deleted, by policy.
    pub failed: BTreeMap<String, u64>,
    /// Volumes and instances of restores and drills that were cleared away.
    pub discarded: Vec<String>,
    /// Whether something was left for the next time.
    pub out_of_time: bool,
}

/// What is answered to somebody who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// It was done.
    Done(Done),
    /// Not all that there is could be read; nothing was changed.
    NothingChanged(String),
}

/// Decides and does it. Marks come off first: that is what must not come too late.
///
/// # Errors
/// Any of the reads, before anything is changed. What cannot be changed is counted, logged, and
/// tried again the next time.
pub async fn reap<O>(outside: &O, limits: Limits) -> Result<Done, Fault>
where
    O: Policies + Shelf + Label + Deletion + Clock,
{
    let plan = plan(outside, limits.grace_ms).await?;
    let mut done = Done::default();
    let order = |action: &Action| match action {
        Action::Unmark => 0,
        Action::Mark { .. } => 1,
        Action::Delete => 2,
        Action::Keep | Action::Wait { .. } => 3,
    };
    for (region, plan) in &plan.regions {
        let mut decisions: Vec<&Decision> = plan.decisions.iter().collect();
        // The oldest first, within each kind of action.
        decisions.sort_by_key(|one| (order(&one.action), one.started_ms));
        for decision in decisions {
            if outside.now_ms() >= limits.stop_at_ms {
                done.out_of_time = true;
                return Ok(done);
            }
            perform(outside, region, decision, &mut done).await;
        }
    }
    clear_away(outside, limits, &mut done).await;
    Ok(done)
}

async fn perform<O: Label + Deletion + Clock>(
    outside: &O,
    region: &str,
    decision: &Decision,
    done: &mut Done,
) {
    let ids = &decision.snapshot_ids;
    let result = match decision.action {
        Action::Keep | Action::Wait { .. } => return,
        Action::Unmark => {
            let keys = [tags::DELETE_AFTER, tags::DELETING_AT];
            let result = outside.unlabel(region, ids, &keys).await;
            done.unmarked += usize::from(result.is_ok());
            result
        }
        Action::Mark { delete_after_ms } => {
            let mark = (tags::DELETE_AFTER.to_owned(), time::rfc3339(delete_after_ms));
            let result = outside.label(region, ids, &BTreeMap::from([mark])).await;
            done.marked += usize::from(result.is_ok());
            result
        }
        Action::Delete => {
            delete(outside, region, decision, done).await;
            return;
        }
    };
    match result {
        Ok(()) => tracing::info!(
            set_id = decision.set_id, region, action = %decision.action,
            reason = %decision.reason, "retention"
        ),
        Err(fault) => tracing::warn!(
            set_id = decision.set_id, region, action = %decision.action, %fault,
            "retention: tried again the next time"
        ),
    }
    outside.sleep_ms(TAG_PACE_MS).await;
}

/// The record first; without it nothing is deleted. Then one snapshot after the other.
async fn delete<O: Label + Deletion + Clock>(
    outside: &O,
    region: &str,
    decision: &Decision,
    done: &mut Done,
) {
    let begun = (tags::DELETING_AT.to_owned(), time::rfc3339(outside.now_ms()));
    let record = outside.label(region, &decision.snapshot_ids, &BTreeMap::from([begun])).await;
    if let Err(fault) = record {
        tracing::warn!(set_id = decision.set_id, %fault, "the deletion could not be recorded");
        return;
    }
    for snapshot_id in &decision.snapshot_ids {
        let result = outside.delete_snapshot(region, snapshot_id).await;
        let (counter, failed) = match &result {
            Ok(()) => (&mut done.deleted, None),
            Err(fault) => (&mut done.failed, Some(fault)),
        };
        *counter.entry(decision.policy_id.clone()).or_default() += 1;
        if let Some(fault) = failed {
            let set_id = &decision.set_id;
            tracing::error!(set_id, snapshot_id, region, %fault, "not deleted");
            if fault.kind == FaultKind::Refused {
                // The rest stays with it; the next time its reason is known.
                return;
            }
        } else {
            tracing::info!(
                set_id = decision.set_id, snapshot_id, region,
                reason = %decision.reason, "deleted"
            );
        }
        outside.sleep_ms(DELETE_PACE_MS).await;
    }
}

async fn clear_away<O: Deletion + Clock>(outside: &O, limits: Limits, done: &mut Done) {
    let found = match outside.discarded().await {
        Ok(found) => found,
        Err(fault) => {
            tracing::warn!(%fault, "what restores and drills left could not be listed");
            return;
        }
    };
    for one in found {
        if outside.now_ms() >= limits.stop_at_ms {
            done.out_of_time = true;
            return;
        }
        if !is_due(&one, outside.now_ms()) {
            continue;
        }
        match outside.discard(&one).await {
            Ok(()) => {
                tracing::info!(resource_id = one.resource_id, "cleared away");
                done.discarded.push(one.resource_id);
            }
            Err(fault) => {
                tracing::warn!(resource_id = one.resource_id, %fault, "not cleared away yet");
            }
        }
        outside.sleep_ms(DELETE_PACE_MS).await;
    }
}

/// Only what a restore or a drill made, marked, and does not use any more.
fn is_due(one: &Discarded, now_ms: u64) -> bool {
    let ours = one.tags.contains_key(tags::JOB_ID);
    let due = one.tags.get(tags::DELETE_AFTER).and_then(|mark| time::epoch_ms(mark));
    ours && !one.in_use && due.is_some_and(|due| due <= now_ms)
}
