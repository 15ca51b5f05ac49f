//! The engine under a seeded world with virtual time: the real planner, runner, guard, drive
//! and run, and the hold of the real agent, between queues, clocks and services that fail
//! in every way that the real ones can.
//!
//! A seed is a whole night: a few instances, one or two policies, their firings, and what
//! goes wrong. Every promise is a predicate on what really happened (`truth`); what a
//! simulation must have reached is a list (`reach`). The same seed is the same night,
//! to the millisecond.
//!
//! Read in this order: `night` (what a seed is), `hand` (what the engine sees), `host`,
//! `lambda`, `truth`.

mod exec;
pub mod fleet;
mod hand;
mod host;
mod lambda;
mod night;
mod reach;
mod rng;
mod sets;
mod trouble;
mod truth;
mod world;

use std::collections::BTreeSet;

pub use night::{Night, night};
pub use reach::must_reach;

/// 2027-01-15T08:00:00Z; every night begins then.
pub const BEGINNING_MS: u64 = 1_800_000_000_000;
/// How long after its time a run may begin, where its policy says nothing else.
pub const WINDOW_MS: u64 = 3_600_000;

/// What many nights came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many.
    pub nights: u64,
    /// The seeds of those that broke a promise, each with the first that was broken.
    pub violations: Vec<(u64, String)>,
    /// What was reached.
    pub reached: BTreeSet<String>,
}

impl Report {
    /// Adds one night.
    pub fn add(&mut self, night: Night) {
        self.nights += 1;
        self.reached.extend(night.reached);
        if let Some(first) = night.violations.into_iter().next() {
            self.violations.push((night.seed, first));
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: Self) {
        self.nights += other.nights;
        self.violations.extend(other.violations);
        self.reached.extend(other.reached);
    }

    /// Branches that were taken and nobody has listed: a new one has to be looked at.
    #[must_use]
    pub fn unlisted(&self) -> Vec<&str> {
        let new = |one: &&String| {
            (one.starts_with("branch: ") || one.starts_with("fact: ")) && !reach::is_listed(one)
        };
        self.reached.iter().filter(new).map(String::as_str).collect()
    }

    /// What should have been reached and was not.
    #[must_use]
    pub fn unreached(&self) -> Vec<&'static str> {
        must_reach().iter().copied().filter(|one| !self.reached.contains(*one)).collect()
    }
}

/// These nights, on this many threads; all of them, or up to the first broken promise.
#[must_use]
pub fn nights(
    from: u64,
    count: u64,
    threads: u64,
    stop_at_first: bool,
    mut progress: impl FnMut(u64),
) -> Report {
    let mut report = Report::default();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let next = std::sync::atomic::AtomicU64::new(from);
    let done = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let work = || {
            let mut mine = Report::default();
            loop {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if seed >= from + count || stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return mine;
                }
                mine.add(night(seed, false));
                if stop_at_first && !mine.violations.is_empty() {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            progress(done.load(std::sync::atomic::Ordering::Relaxed));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        for worker in workers {
            match worker.join() {
                Ok(mine) => report.merge(mine),
                Err(_) => report.violations.push((0, "a night panicked".to_owned())),
            }
        }
    });
    report
}
