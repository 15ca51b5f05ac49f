//! A fleet as figures: rows of target/bench/engine.json, as the other benches write them.

use serde_json::{Value, json};

use super::cost::dollars;
use super::{Engine, Shard};

/// EC2 grants CreateSnapshots a hundred times at once and five times a second, in an account and
/// Region. Source: Amazon EC2 Developer Guide, "Request throttling for the Amazon EC2 API".
const BURST: u64 = 100;
const RATE: u64 = 5;
const HOUR_SECS: u64 = 3_600;
/// The makespan is judged where EC2's bucket takes at least this long; below it, what counts is
/// how long one run takes, and that is told as seconds.
const JUDGED_FROM_SECS: f64 = 100.0;
/// What is promised: case by case, for ours alone.
const TARGETS: [(&str, bool, f64); 4] =
    [(RATIO, false, 1.10), (STARTED, true, 99.0), (MISLABELLED, false, 0.0), (DOUBLED, false, 0.0)];
const RATIO: &str = "makespan / token-bucket floor";
const STARTED: &str = "started within 60 minutes, of what EC2 grants";
const MISLABELLED: &str = "labelled consistent and not";
const DOUBLED: &str = "with more than one set";

/// A fleet: so many instances over so many accounts and Regions.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// All of them.
    pub instances: u64,
    /// The account-Regions that they are spread over evenly.
    pub shards: u64,
}

impl Fleet {
    /// The name of the case.
    #[must_use]
    pub fn case(self) -> String {
        let plural = if self.shards == 1 { "" } else { "s" };
        let Self { instances, shards } = self;
        format!("fleet of {} over {shards} account-Region{plural}", thousands(instances))
    }

    /// How long EC2's bucket takes for one of its shards, in seconds.
    #[must_use]
    pub fn floor_secs(self) -> u64 {
        (self.instances / self.shards).saturating_sub(BURST) / RATE
    }
}

/// The subject of a row.
#[must_use]
pub fn subject(engine: Engine) -> &'static str {
    match engine {
        Engine::Stillpoint => "Stillpoint",
        Engine::Naive => "a function an instance",
        Engine::Dlm => "DLM as documented",
    }
}

/// The figures of one round of one fleet.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of a fleet")]
fn figures(
    fleet: Fleet,
    engine: Engine,
    shards: &[Shard],
) -> Vec<(&'static str, &'static str, f64)> {
    let sum = |of: fn(&Shard) -> u64| shards.iter().map(of).sum::<u64>() as f64;
    let instances = sum(|one| one.instances);
    let made = shards.iter().flat_map(|one| &one.made_ms);
    let last_secs = made.clone().max().map_or(0.0, |ms| *ms as f64 / 1_000.0);
    let first_try = shards.iter().map(|one| one.first_try_ms).max().unwrap_or(0);
    let makespan_secs = first_try as f64 / 1_000.0;
    let in_time = made.filter(|ms| **ms <= HOUR_SECS * 1_000).count() as f64;
    let granted = |one: &Shard| one.instances.min(BURST + RATE * HOUR_SECS);
    let could = shards.iter().map(granted).sum::<u64>() as f64;
    let mut frozen: Vec<u64> = shards.iter().flat_map(|one| one.frozen_ms.clone()).collect();
    frozen.sort_unstable();
    let at = |percent: usize| {
        let place = (frozen.len().saturating_sub(1)) * percent / 100;
        frozen.get(place).map_or(0.0, |ms| *ms as f64)
    };
    let calls = |names: &[&str]| {
        let of = |shard: &Shard| {
            let counted = shard.calls.iter().filter(|(name, _)| names.contains(name));
            counted.map(|(_, count)| count).sum::<u64>()
        };
        shards.iter().map(of).sum::<u64>() as f64 * 1_000.0 / instances
    };
    let cost = shards.iter().map(|shard| dollars(engine, shard)).sum::<f64>();
    let mut rows = vec![
        ("makespan", "s", makespan_secs),
        ("last set, repeated attempts included", "s", last_secs),
    ];
    let floor_secs = fleet.floor_secs() as f64;
    if (JUDGED_FROM_SECS..=HOUR_SECS as f64).contains(&floor_secs) {
        rows.push((RATIO, "ratio", makespan_secs / floor_secs));
    }
    rows.extend([
        (STARTED, "%", in_time * 100.0 / could),
        ("frozen, p50", "ms", at(50)),
        ("frozen, p99", "ms", at(99)),
        ("frozen, max", "ms", at(100)),
        ("EC2 calls, 1,000 instances", "calls", calls(&["create", "find", "tag", "inventory"])),
        (
            "SSM calls, 1,000 instances",
            "calls",
            calls(&["send", "state", "states", "steps", "cancel"]),
        ),
        ("modelled cost, 1,000 instances", "USD", cost * 1_000.0 / instances),
        ("consistent", "instances", sum(|one| one.consistent)),
        ("downgraded", "instances", sum(|one| one.downgraded)),
        (MISLABELLED, "instances", sum(|one| one.mislabelled)),
        ("without a set", "instances", sum(|one| one.without)),
        (DOUBLED, "instances", sum(|one| one.doubled)),
    ]);
    rows
}

/// The rows of a case: median, min and max over its rounds.
#[must_use]
pub fn rows(fleet: Fleet, engine: Engine, rounds: &[Vec<Shard>]) -> Vec<Value> {
    let all: Vec<_> = rounds.iter().map(|shards| figures(fleet, engine, shards)).collect();
    let Some(first) = all.first() else { return vec![] };
    let row = |(at, (metric, unit, _)): (usize, &(&str, &str, f64))| {
        let mut values: Vec<f64> = all.iter().map(|round| rounded(round[at].2)).collect();
        values.sort_by(f64::total_cmp);
        json!({
            "case": fleet.case(),
            "subject": subject(engine),
            "metric": metric,
            "unit": unit,
            "median": values[values.len() / 2],
            "min": values[0],
            "max": values[values.len() - 1],
            "n": values.len(),
        })
    };
    first.iter().enumerate().map(row).collect()
}

/// A line for each target of ours.
#[must_use]
pub fn targets(rows: &[Value]) -> Vec<String> {
    let mut lines = vec![];
    for row in rows.iter().filter(|row| row["subject"] == subject(Engine::Stillpoint)) {
        let Some((_, at_least, limit)) =
            TARGETS.iter().find(|(metric, ..)| row["metric"] == *metric)
        else {
            continue;
        };
        let worst = row[if *at_least { "min" } else { "max" }].as_f64().unwrap_or(f64::NAN);
        let holds = if *at_least { worst >= *limit } else { worst <= *limit };
        lines.push(format!(
            "  {}  {}: {}: {worst} (at {} {limit})",
            if holds { "holds " } else { "MISSED" },
            row["case"].as_str().unwrap_or_default(),
            row["metric"].as_str().unwrap_or_default(),
            if *at_least { "least" } else { "most" },
        ));
    }
    lines
}

/// When the sets were made, a mark for each part of the hour: the taller the more.
#[must_use]
pub fn timeline(shards: &[Shard]) -> String {
    const PARTS: usize = 60;
    const MARKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut parts = [0_usize; PARTS];
    let minutes = shards.iter().flat_map(|one| &one.made_ms).map(|ms| ms / 60_000);
    for minute in minutes {
        let at = usize::try_from(minute).unwrap_or(PARTS).min(PARTS - 1);
        parts[at] += 1;
    }
    let most = parts.iter().max().copied().unwrap_or(0).max(1);
    parts.iter().map(|count| MARKS[(count * 8).div_ceil(most)]).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn thousands(number: u64) -> String {
    let text = number.to_string();
    let from = text.len() % 3;
    let (head, tail) = text.split_at(from);
    let tail = tail.as_bytes().chunks(3).map(|three| String::from_utf8_lossy(three).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(tail).collect::<Vec<_>>().join(",")
}
