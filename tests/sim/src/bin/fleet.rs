//! `make bench ONLY=engine`: fleets of thousands, ours beside two other ways to do it, in the same
//! simulator. Writes the cases "fleet ..." of target/bench/engine.json and leaves the others.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use stillpoint_sim::fleet::{Engine, Fleet, Shard, rows, shard, subject, targets, timeline};

const INSTANCES: [u64; 3] = [1_000, 10_000, 100_000];
const SHARDS: [u64; 3] = [1, 4, 20];
const ENGINES: [Engine; 3] = [Engine::Stillpoint, Engine::Naive, Engine::Dlm];
const ROUNDS: u64 = 3;
const ASSUMED: &str = "\
The same instances, agent, services and troubles for all three; no other user of EC2's bucket.
In 10,000: 50 scripts fail, hang or print garbage, 30 agents are offline for up to an hour, 20 holds
break, 10 commands are never delivered, 20 messages are doubled, 2 replies are lost.
Systems Manager delivers in 0.7 s (median; 2.5 s in one of a hundred) and has no limit of its own here.
a function an instance: 1,000 at once, CreateSnapshots with the SDKs' three attempts, the post-script
always sent, consistent if the pre-script succeeded. DLM as documented: no post-script after a failed
pre-script; not documented and assumed in its favour: 100 starts at once, then 5 a second, never dies.";

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn main() -> ExitCode {
    let quick = std::env::args().any(|word| word == "--quick");
    let rounds = if quick { 1 } else { ROUNDS };
    let began = Instant::now();
    let mut all = vec![];
    let mut broken = 0;
    println!("{ASSUMED}\n");
    for instances in INSTANCES {
        for shards in SHARDS {
            let fleet = Fleet { instances, shards };
            println!("{}, floor {} s", fleet.case(), fleet.floor_secs());
            for engine in ENGINES {
                let lived: Vec<Vec<Shard>> =
                    (1..=rounds).map(|round| live(fleet, engine, round)).collect();
                let found = rows(fleet, engine, &lived);
                print(subject(engine), &lived[0], &found);
                for what in lived.iter().flatten().flat_map(|one| &one.violations).take(3) {
                    println!("  VIOLATED {what}");
                    broken += 1;
                }
                all.extend(found);
            }
        }
    }
    println!("\ntargets\n{}", targets(&all).join("\n"));
    let path = Path::new("target/bench/engine.json");
    if let Err(error) = write(path, all) {
        println!("fleet: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    println!("fleet: wrote {}, {:.0} s", path.display(), began.elapsed().as_secs_f64());
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round of a fleet: its shards, on all cores.
fn live(fleet: Fleet, engine: Engine, round: u64) -> Vec<Shard> {
    let seeds = |shard: u64| round * 1_000_000 + shard;
    let left = Mutex::new((0..fleet.shards).map(seeds).collect::<VecDeque<_>>());
    let done = Mutex::new(vec![]);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(fleet.shards) {
            scope.spawn(|| {
                loop {
                    let seed = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(seed) = seed else { return };
                    let one = shard(engine, fleet.instances / fleet.shards, seed);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn print(subject: &str, shards: &[Shard], rows: &[Value]) {
    println!("  {subject:<24}|{}| 60 min", timeline(shards));
    let figure = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
        let spread = format!("{} to {}", number("min"), number("max"));
        format!("    {:<46}{:>12} {:<10} {spread}", text("metric"), number("median"), text("unit"))
    };
    println!("{}", rows.iter().map(figure).collect::<Vec<_>>().join("\n"));
}

/// Replaces the rows of the fleets.
fn write(path: &Path, rows: Vec<Value>) -> std::io::Result<()> {
    let there = std::fs::read_to_string(path).unwrap_or_else(|_| "[]".to_owned());
    let there: Vec<Value> = serde_json::from_str(&there).unwrap_or_default();
    let is_other =
        |row: &Value| !row["case"].as_str().is_some_and(|case| case.starts_with("fleet "));
    let all: Vec<Value> = there.into_iter().filter(is_other).chain(rows).collect();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
}
