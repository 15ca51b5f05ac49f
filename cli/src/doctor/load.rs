//! What the deployed policies ask of EC2, as their plans tell it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use stillpoint_budget::fleet::Firing;
use stillpoint_planner::Answer;
use stillpoint_policy::Policy;

/// A week of hourly firings and more: what coincides at all coincides in them.
const FIRINGS: usize = 200;
const DAY_SECS: f64 = 86_400.0;

/// What all policies come to.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Their next firings.
    pub(super) firings: Vec<Firing>,
    /// Snapshots that there will be once all are as old as they get.
    pub(super) kept: f64,
    /// Snapshots made a day, and deleted a day from then on.
    pub(super) a_day: f64,
}

impl Load {
    /// Of one policy, by the plan of one firing: its schedules that fire at one time make one set
    /// an instance.
    pub(super) fn of(policy: &Policy, answer: &Answer, window_ms: u64, now_ms: u64) -> Self {
        let volumes = || answer.runs.iter().flat_map(|order| &order.volumes);
        let ids: BTreeSet<String> = volumes().map(|volume| volume.volume_id.clone()).collect();
        let (ids, snapshots) = (Arc::new(ids), float(volumes().count()));
        let firings: Vec<Firing> = policy
            .next_firings(timestamp(now_ms), FIRINGS)
            .into_iter()
            .map(|next| Firing {
                policy_id: policy.id.clone(),
                at: next.at,
                runs: whole(answer.runs.len()),
                volumes: ids.clone(),
                window_ms,
            })
            .collect();
        Self {
            kept: snapshots * answer.estimate.monthly.kept_sets,
            a_day: snapshots * a_day(&firings),
            firings,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.firings.extend(other.firings);
        self.kept += other.kept;
        self.a_day += other.a_day;
    }

    pub(super) fn volumes(&self) -> Vec<String> {
        let all: BTreeSet<&String> =
            self.firings.iter().flat_map(|one| one.volumes.iter()).collect();
        all.into_iter().cloned().collect()
    }
}

/// How long after its time a run may begin; the plan is one for now.
pub(super) fn window_ms(answer: &Answer, now_ms: u64) -> u64 {
    let ends = answer.runs.iter().map(|order| order.start_before_ms);
    let window_ms = ends.min().unwrap_or(now_ms).saturating_sub(now_ms);
    // Windows are whole minutes, and planning took a moment.
    window_ms.div_ceil(60_000) * 60_000
}

/// How often a policy fires, by its next firings.
fn a_day(firings: &[Firing]) -> f64 {
    let time = |one: Option<&Firing>| one?.at.parse::<Timestamp>().ok();
    match (time(firings.first()), time(firings.last())) {
        (Some(first), Some(last)) if last > first => {
            float(firings.len() - 1) * DAY_SECS / last.duration_since(first).as_secs_f64()
        }
        _ => 0.0,
    }
}

fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
