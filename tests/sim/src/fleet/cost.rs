//! What a firing costs beside its snapshots, by the list prices of us-east-1 that docs/COSTS.md
//! names with their sources.

use super::{Engine, Shard};

/// Dollars a GB-second of Lambda on arm64, and a request.
const GB_SECOND: f64 = 0.000_013_333_4;
const INVOCATION: f64 = 0.20e-6;
/// Our functions' memory (infra/template.yaml), and what a small script's has.
const OURS_GB: f64 = 0.25;
const NAIVE_GB: f64 = 0.125;
/// On-demand writes and reads of DynamoDB, a unit.
const WRITE_UNIT: f64 = 0.625e-6;
const READ_UNIT: f64 = 0.125e-6;
/// A record of a run is below 4 KB, and each of the two indexes is written with it.
const UNITS_A_SAVE: f64 = 6.0;
/// A custom event, and a request to SQS.
const EVENT: f64 = 1.0e-6;
const QUEUE: f64 = 0.40e-6;

/// What a shard's firing costs.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of a fleet")]
pub(super) fn dollars(engine: Engine, shard: &Shard) -> f64 {
    let memory_gb = match engine {
        Engine::Stillpoint => OURS_GB,
        Engine::Naive => NAIVE_GB,
        // It is free of charge.
        Engine::Dlm => return 0.0,
    };
    let count = |name: &str| shard.calls.get(name).copied().unwrap_or(0) as f64;
    let of_function = |(invocations, ms): &(u64, u64)| {
        *invocations as f64 * INVOCATION + *ms as f64 / 1_000.0 * memory_gb * GB_SECOND
    };
    let functions: f64 = shard.billed.values().map(of_function).sum();
    let table = count("save") * UNITS_A_SAVE * WRITE_UNIT
        + (count("save bucket") + count("record firing")) * WRITE_UNIT
        + (count("load") + count("bucket") + count("overdue") + count("has fired")) * READ_UNIT;
    // A run is requested and finished, and its message is received and deleted.
    let events = match engine {
        Engine::Stillpoint => shard.instances as f64 * 2.0 * (EVENT + QUEUE),
        Engine::Naive | Engine::Dlm => 0.0,
    };
    functions + table + events
}
