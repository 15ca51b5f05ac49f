//! What a plan takes and what its policy costs: seconds, and dollars a month.
//!
//! Estimates, not promises: everything that is not known beforehand is an [`Assumptions`] field
//! with its source, and an estimate says in words which ones weigh most.

mod assumptions;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, PlannedRun};
use crate::policy::{Handler, Policy, Schedule};
use crate::rules::{Age, Retain};

pub use assumptions::Assumptions;

const HOURS_PER_MONTH: f64 = 730.0;
const DAYS_PER_MONTH: f64 = HOURS_PER_MONTH / 24.0;
const DAYS_PER_YEAR: i64 = 365;
const MILLION: f64 = 1_000_000.0;
/// EC2's quota of snapshots with fast restore in a Region.
const FAST_RESTORES_PER_REGION: f64 = 5.0;
/// Sets of one schedule that are looked at one by one; the rest goes on like them.
const MAX_SETS: usize = 1_000;

/// What one firing takes, and what the policy costs with the instances of this plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// One run from its pre-script to its verdict, in seconds, when nothing is retried.
    pub run_secs: f64,
    /// How long the writers of one instance are held, in seconds; 0 without a script.
    pub frozen_secs: f64,
    /// All runs of the firing, at the rate that EC2 takes CreateSnapshots.
    pub firing_secs: f64,
    pub monthly: MonthlyCost,
    /// What the figures stand on.
    pub notes: Vec<String>,
}

/// US dollars a month once as many sets are there as the policy keeps, all schedules together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthlyCost {
    pub total: f64,
    /// Snapshot data in this Region.
    pub snapshots: f64,
    /// The same in the Regions it is copied to, and what the copying costs.
    pub copies: f64,
    pub fast_restore: f64,
    /// Functions, queue, bus, ledger and metrics of Stillpoint itself.
    pub requests: f64,
    /// Snapshot data in this Region, in GiB.
    pub stored_gib: f64,
    /// Sets of one instance that are kept.
    pub kept_sets: f64,
}

/// Estimates a plan of this policy. `now` is when its firings begin to be counted.
pub fn estimate(policy: &Policy, plan: &Plan, now: Timestamp, assume: &Assumptions) -> Estimate {
    let runs = count(plan.runs.len());
    let stages = |run: &PlannedRun| {
        let script = run.script.as_ref().filter(|script| script.skip.is_none());
        // The VSS document is as much as both.
        let vss = script.is_some_and(|script| script.handler == Handler::Vss);
        let stages = script.map_or(0, |script| u8::from(script.pre) + u8::from(script.post));
        f64::from(if vss { 2 } else { stages })
    };
    let most_stages = plan.runs.iter().map(stages).fold(0.0, f64::max);
    let run_secs = if plan.runs.is_empty() {
        0.0
    } else {
        most_stages * assume.command_secs + assume.create_secs
    };
    // Held from the end of the pre-script until the post-script has arrived.
    let frozen_secs =
        if most_stages < 2.0 { 0.0 } else { assume.create_secs + assume.command_secs };
    let waiting = (runs - assume.create_burst).max(0.0) / assume.create_per_sec.max(0.001);
    let schedules: Vec<Kept> =
        policy.schedules.iter().map(|schedule| kept(policy, schedule, now)).collect();
    let monthly = monthly(policy, plan, &schedules, now, assume, run_secs);
    Estimate {
        run_secs: rounded(run_secs),
        frozen_secs: rounded(frozen_secs),
        firing_secs: rounded(run_secs + waiting),
        notes: notes(&monthly, policy, assume),
        monthly,
    }
}

/// What one schedule keeps in the long run.
#[derive(Debug)]
struct Kept {
    firings_per_month: f64,
    sets: f64,
    /// The times of so many sets, as if they began now.
    times: Vec<Timestamp>,
    /// Sets beyond [`MAX_SETS`], in days of the schedule.
    further_days: f64,
}

fn kept(policy: &Policy, schedule: &Schedule, now: Timestamp) -> Kept {
    let until = now + jiff::SignedDuration::from_hours(24 * DAYS_PER_YEAR);
    let year = policy.firings_of(schedule, now).take_while(|time| *time <= until);
    let in_a_year = count(year.count());
    let firings_per_month = in_a_year / 12.0;
    let (sets, times, further_days) = match schedule.retain {
        Retain::Count(most) => {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let times = policy.next_firings_of(schedule, now, most.min(MAX_SETS));
            (count(times.len()), times, 0.0)
        }
        Retain::Age(age) => aged(policy, schedule, age, now, in_a_year),
    };
    Kept { firings_per_month, sets, times, further_days }
}

fn aged(
    policy: &Policy,
    schedule: &Schedule,
    age: Age,
    now: Timestamp,
    in_a_year: f64,
) -> (f64, Vec<Timestamp>, f64) {
    let end = age.end(now);
    let mut times = policy.next_firings_of(schedule, now, MAX_SETS);
    let all = times.len() < MAX_SETS || times.last().is_none_or(|last| *last > end);
    times.retain(|time| *time <= end);
    let further_days = match times.last() {
        Some(last) if !all => days(*last, end),
        _ => 0.0,
    };
    let further = in_a_year * further_days / count(usize::try_from(DAYS_PER_YEAR).unwrap_or(365));
    // The newest set is never deleted before there is another.
    let sets = (count(times.len()) + further).max(1.0);
    (sets, times, further_days)
}

fn monthly(
    policy: &Policy,
    plan: &Plan,
    schedules: &[Kept],
    now: Timestamp,
    assume: &Assumptions,
    run_secs: f64,
) -> MonthlyCost {
    let volumes = plan.runs.iter().flat_map(|run| &run.volumes);
    let written: f64 =
        volumes.map(|volume| f64::from(volume.size_gib)).sum::<f64>() * assume.used_fraction;
    let changes = |schedules: &[&Kept]| changed(schedules, assume.daily_change);
    let all: Vec<&Kept> = schedules.iter().collect();
    let stored_gib = written * (1.0 + changes(&all));
    let mut copies = 0.0;
    let mut fast_restore = 0.0;
    let snapshots = count(plan.runs.iter().map(|run| run.volumes.len()).sum());
    for (schedule, kept) in policy.schedules.iter().zip(schedules) {
        for copy in &schedule.copies {
            let sets = copy.retain.map_or(kept.sets, |age| of_age(kept, age, now));
            let share = if kept.sets > 0.0 { sets / kept.sets } else { 0.0 };
            let there = written * (1.0 + changes(&[kept]) * share.min(1.0));
            let moved =
                written * (assume.daily_change * DAYS_PER_MONTH).min(kept.firings_per_month);
            copies += there * assume.snapshot_gb_month + moved * assume.transfer_gb;
        }
        if let Some(rule) = &schedule.fast_restore {
            let sets = match rule.retain {
                Retain::Count(most) => f64::from(most).min(kept.sets),
                Retain::Age(age) => of_age(kept, age, now),
            };
            let enabled = (sets * snapshots).min(FAST_RESTORES_PER_REGION);
            fast_restore +=
                enabled * count(rule.zones.len()) * HOURS_PER_MONTH * assume.fast_restore_hour;
        }
    }
    let in_store = stored_gib * assume.snapshot_gb_month;
    let requests = requests(plan, schedules, assume, run_secs);
    MonthlyCost {
        total: rounded(in_store + copies + fast_restore + requests),
        snapshots: rounded(in_store),
        copies: rounded(copies),
        fast_restore: rounded(fast_restore),
        requests: rounded(requests),
        stored_gib: rounded(stored_gib),
        kept_sets: rounded(schedules.iter().map(|kept| kept.sets).sum()),
    }
}

/// How often the written data is stored again as changes: between two sets that follow each
/// other, of whichever schedule, what changed in the time between them, once at most.
fn changed(schedules: &[&Kept], daily: f64) -> f64 {
    let mut times: Vec<Timestamp> =
        schedules.iter().flat_map(|kept| kept.times.iter().copied()).collect();
    times.sort_unstable();
    times.dedup();
    let between = times.iter().zip(times.iter().skip(1));
    let gaps: f64 = between.map(|(one, next)| (days(*one, *next) * daily).min(1.0)).sum();
    let further = schedules.iter().map(|kept| kept.further_days).fold(0.0, f64::max);
    gaps + further * daily
}

fn of_age(kept: &Kept, age: Age, now: Timestamp) -> f64 {
    let per_day = kept.firings_per_month / DAYS_PER_MONTH;
    (days(now, age.end(now)) * per_day).max(1.0)
}

fn requests(plan: &Plan, schedules: &[Kept], assume: &Assumptions, run_secs: f64) -> f64 {
    let firings: f64 = schedules.iter().map(|kept| kept.firings_per_month).sum();
    let runs = count(plan.runs.len()) * firings;
    let invocations = runs / assume.runs_per_invocation.max(1.0) + firings;
    // Requested and finished; received, deleted and asked for.
    let (events, messages) = (runs * 2.0, runs * 3.0);
    let dollars_per_million = events * assume.million_events
        + messages * assume.million_queue_requests
        + firings * assume.million_firings
        + invocations * assume.million_invocations
        + runs * assume.ledger_writes_per_run * assume.million_ledger_writes;
    let gb_seconds = invocations * run_secs * assume.function_gb;
    dollars_per_million / MILLION
        + gb_seconds * assume.lambda_gb_second
        + assume.metrics_per_policy * assume.metric_month
}

fn notes(monthly: &MonthlyCost, policy: &Policy, assume: &Assumptions) -> Vec<String> {
    let mut notes = vec![
        format!(
            "snapshot data: {:.0} % of each volume written, {:.1} % of that changed a day; {} sets \
             of an instance kept",
            assume.used_fraction * 100.0,
            assume.daily_change * 100.0,
            monthly.kept_sets
        ),
        "prices: us-east-1, on demand, without free tiers; other Regions differ".into(),
        format!(
            "time: {} s for each stage of a script, {} s for CreateSnapshots, {} of them at once and \
             {} a second after that",
            assume.command_secs, assume.create_secs, assume.create_burst, assume.create_per_sec
        ),
    ];
    if policy.schedules.iter().any(|schedule| schedule.fast_restore.is_some()) {
        notes.push(format!(
            "fast restore: at most {FAST_RESTORES_PER_REGION} snapshots a Region, EC2's quota"
        ));
    }
    notes
}

fn days(from: Timestamp, to: Timestamp) -> f64 {
    (to - from).total(Unit::Hour).map_or(0.0, |hours| hours / 24.0)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// To the cent, and nothing that is no number.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 100.0).round() / 100.0 } else { 0.0 }
}
