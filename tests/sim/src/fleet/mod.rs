//! A fleet in one account and Region that fires at once: ours beside two other ways to do it,
//! with the same instances, the same agent on them, the same services and the same troubles.
//!
//! Nothing here is random but the seed, and each shard (an account and Region) is a world of its
//! own, since EC2 and Systems Manager count by account and Region.

mod cost;
mod dlm;
mod figures;
mod naive;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use stillpoint_run::Consistency;
use stillpoint_wire::event::RunFinished;
use stillpoint_wire::ids;

pub use figures::{Fleet, rows, subject, targets, timeline};

use crate::exec::Exec;
use crate::rng::Rng;
use crate::world::{State, World};
use crate::{BEGINNING_MS, WINDOW_MS};

/// The schedule fires so long after the world's beginning.
const FIRES_MS: u64 = 60_000;
/// The start window, two more deliveries of a message and the guard's round after that.
const LONGEST_MS: u64 = 3 * WINDOW_MS;

/// Who makes the snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The real planner, runner, guard, drive and run.
    Stillpoint,
    /// A function an instance, all at once, as most scripts do it. See `naive`.
    Naive,
    /// Data Lifecycle Manager, as far as it is documented. See `dlm`.
    Dlm,
}

/// What came of one shard.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// How many instances were to be snapshotted.
    pub instances: u64,
    /// When each set was made, in ms after the schedule's time.
    pub made_ms: Vec<u64>,
    /// When the last set was made that needed one attempt.
    pub first_try_ms: u64,
    /// How long each hold lasted.
    pub frozen_ms: Vec<u64>,
    /// Calls by name.
    pub calls: BTreeMap<&'static str, u64>,
    /// (invocations, ms) by function.
    pub billed: BTreeMap<&'static str, (u64, u64)>,
    /// Runs whose set is labelled application-consistent, and is.
    pub consistent: u64,
    /// Runs whose set says that it is less.
    pub downgraded: u64,
    /// Runs whose set is labelled application-consistent, and is not.
    pub mislabelled: u64,
    /// Runs without a set.
    pub without: u64,
    /// Instances of which two sets or more were made for one firing.
    pub doubled: u64,
    /// Promises of ours that were broken.
    pub violations: Vec<String>,
}

/// One shard of so many instances, under one engine.
#[must_use]
pub fn shard(engine: Engine, instances: u64, seed: u64) -> Shard {
    let exec = Exec::at(BEGINNING_MS);
    let world = World::new(exec.clone(), Rng::new(seed), people::trouble(), false);
    let firing = people::people(&world, instances);
    let labels = match engine {
        Engine::Stillpoint => {
            world.state().expected.push((firing.clone(), BEGINNING_MS + FIRES_MS, WINDOW_MS));
            exec.spawn(Arc::clone(&world).guard_every_minute());
            exec.spawn(Arc::clone(&world).fire(firing, FIRES_MS, false));
            let all = usize::try_from(instances).unwrap_or(usize::MAX);
            let ended = || world.state().finished.len() >= all && world.is_over();
            exec.run(BEGINNING_MS + LONGEST_MS, ended);
            told(&world.state())
        }
        Engine::Naive => naive::run(&exec, &world, LONGEST_MS),
        Engine::Dlm => dlm::run(&exec, &world, LONGEST_MS),
    };
    let mut shard = judge(&world.state(), &labels);
    if engine == Engine::Stillpoint {
        world.check_end();
        shard.violations.clone_from(&world.state().violations);
    }
    shard
}

/// What is told of one instance.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// That its set is application-consistent.
    application: bool,
    attempts: u32,
}

/// By run id.
type Labels = BTreeMap<String, Told>;

fn told(state: &State) -> Labels {
    let label = |(run_id, events): (&String, &Vec<RunFinished>)| {
        let event = events.first()?;
        let application = event.consistency == Some(Consistency::Application);
        Some((run_id.clone(), Told { application, attempts: event.attempts }))
    };
    state.finished.iter().filter_map(label).collect()
}

/// The run id of an instance, for those engines that have none of their own.
fn run_id(instance_id: &str) -> String {
    ids::run_id(people::POLICY, people::SCHEDULE, "the night", instance_id)
}

fn judge(state: &State, labels: &Labels) -> Shard {
    let mut shard = Shard {
        instances: state.hosts.len() as u64,
        frozen_ms: state.frozen_ms.clone(),
        calls: state.calls.clone(),
        billed: state.billed.clone(),
        ..Shard::default()
    };
    for (run_id, told) in labels {
        let sets: Vec<_> = state.sets.of_run(run_id).collect();
        let Some(first) = sets.first() else {
            shard.without += 1;
            continue;
        };
        let since_ms = first.made_ms.saturating_sub(BEGINNING_MS + FIRES_MS);
        shard.made_ms.push(since_ms);
        if told.attempts <= 1 {
            shard.first_try_ms = shard.first_try_ms.max(since_ms);
        }
        shard.doubled += u64::from(sets.len() > 1);
        let proven = sets.iter().all(|set| state.is_proven(set));
        match (told.application, proven) {
            (true, true) => shard.consistent += 1,
            (true, false) => shard.mislabelled += 1,
            (false, _) => shard.downgraded += 1,
        }
    }
    // Whoever was never come to has no label and no set.
    shard.without += shard.instances.saturating_sub(labels.len() as u64);
    shard
}
