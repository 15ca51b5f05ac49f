//! An account in which the real loops of restorer and reaper run, in virtual time. Every call is
//! counted, and one of them can meet with trouble.

mod ec2;
mod services;
mod state;

use std::sync::Mutex;

use stillpoint_restore::{Job, Order};
use stillpoint_upkeep::jobs::{Advance, Limits, advance, resume};
use stillpoint_upkeep::outside::Fault;
use stillpoint_upkeep::reaper::{self, reap};

pub(crate) use self::ec2::is_marked;
pub(crate) use self::state::State;
use crate::trouble::{Trouble, alive, meet};

/// When somebody comes back to a job whose driver stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// As soon as the lease has ended.
    Soon,
    /// When the job's deadline is over.
    Late,
    /// When the reaper has already cleared away what was abandoned.
    AfterTheReaper,
    /// Nobody does.
    Never,
}

pub(crate) const BACKS: [Back; 4] = [Back::Soon, Back::Late, Back::AfterTheReaper, Back::Never];

const INVOCATION_MS: u64 = 900_000;
const HOUR_MS: u64 = 3_600_000;

#[derive(Debug)]
pub(crate) struct Cloud(Mutex<State>);

impl Cloud {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::new()))
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// From here on, the call of this number meets with trouble; again and again, if it repeats.
    pub(crate) fn plan(&self, call: usize, trouble: Trouble, repeats: usize) {
        self.with(|state| state.trouble = Some((state.calls.len() + call, trouble, repeats)));
    }

    /// So many calls of this name are refused, from here on.
    pub(crate) fn refuse(&self, name: &'static str, times: usize) {
        self.with(|state| state.refusing = Some((name, times)));
    }

    /// One call of the outside.
    async fn call<T: Send>(
        &self,
        name: &str,
        act: impl FnOnce(&mut State) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let trouble = self.with(|state| state.trouble_at(name));
        meet(trouble, || self.with(act)).await
    }

    /// Delivers an order until it is over, or for a day. What is on record then; none if nobody came
    /// to write anything down.
    pub(crate) fn deliver(&self, order: &Order, back: Back) -> Option<Job> {
        for delivery in 0..300 {
            let now_ms = self.with(|state| state.now_ms);
            let driver = format!("driver-{delivery}");
            let limits = Limits { driver, dead_at_ms: now_ms + INVOCATION_MS };
            let known = self.with(|state| state.jobs.contains_key(&order.id));
            let advanced = if known {
                alive(resume(self, &order.id, &limits)).map(|one| one.map(Option::unwrap))
            } else {
                alive(advance(self, order.clone(), &limits))
            };
            if let Some(Ok(Advance::Finished(job) | Advance::AlreadyFinished(job))) = advanced {
                return Some(*job);
            }
            let late_ms = order.deadline_ms + 1;
            match back {
                Back::Soon => self.pass(INVOCATION_MS),
                Back::Late => self.pass(INVOCATION_MS.max(late_ms.saturating_sub(now_ms))),
                Back::AfterTheReaper => {
                    self.pass(INVOCATION_MS);
                    self.clear_away(order);
                }
                Back::Never => break,
            }
        }
        self.with(|state| state.jobs.get(&order.id).map(|one| one.job.clone()))
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.with(|state| {
            state.now_ms += ms;
            (0..5).for_each(|_| state.tick());
        });
    }

    /// The reaper, often enough for everything of the order that may go.
    pub(crate) fn clear_away(&self, order: &Order) {
        let due_ms = order.delete_after_ms() + HOUR_MS;
        self.with(|state| state.now_ms = state.now_ms.max(due_ms));
        for _ in 0..4 {
            let stop_at_ms = self.with(|state| state.now_ms) + INVOCATION_MS;
            let limits = reaper::Limits { grace_ms: HOUR_MS, stop_at_ms };
            // It may die as anybody may; the next one comes.
            drop(alive(reap(self, limits)));
            self.pass(INVOCATION_MS);
        }
    }
}
