//! One round over everything that may have to be thawed, for holder and sentinel alike.
//!
//! In reverse of the order of freezing, and never ended early by one filesystem that
//! resists: it is left to its thread and to the next round.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::crew::{Crew, Order};
use crate::page::{Fs, Page};
use crate::sys;

/// A thaw takes a tenth of a millisecond; what takes this long is waiting for the kernel.
const LEVEL_PATIENCE: Duration = Duration::from_millis(250);

/// What a round may assume of the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It runs and resolves its own freezes that have not returned.
    Alive,
    /// It was killed, but a thread of it may still be in the kernel.
    Killed,
    /// All of it has gone.
    Gone,
}

/// What a process needs to thaw.
#[derive(Debug)]
pub struct Thawer<'a> {
    /// The shared page.
    pub page: Page,
    /// This process's threads.
    pub crew: &'a Crew,
    /// How deep each filesystem lies on others; thawed from the bottom up.
    pub depths: &'a [usize],
    /// Signalled when a thread has finished.
    pub done: &'a File,
    /// Who this is; the holder is 0.
    pub rank: u8,
}

impl Thawer<'_> {
    /// Orders every thaw that is owed and waits a little; true when nothing is left.
    ///
    /// `is_dead` tells of ranks whose claims are void, since their process has died.
    pub fn round(&self, holder: Holder, is_dead: impl Fn(u8) -> bool) -> bool {
        let levels = self.depths.iter().max().map_or(0, |deepest| deepest + 1);
        for level in 0..levels {
            let members =
                || (0..self.page.count()).filter(|&at| self.depths.get(at) == Some(&level));
            members().for_each(|index| self.order(index, holder, &is_dead));
            let until = sys::boottime_ns() + nanos(LEVEL_PATIENCE);
            // Freezes that have not returned are not waited for: their thread or the
            // next round resolves them.
            while members().any(|at| matches!(self.page.fs(at), Fs::Frozen | Fs::Thawing(_)))
                && sys::boottime_ns() < until
            {
                // Only the holder may claim that it lives.
                if self.rank == 0 {
                    self.page.beat();
                }
                wait(self.done, Duration::from_millis(5));
            }
            self.crew.reinforce(LEVEL_PATIENCE);
        }
        !self.page.any(Fs::is_open)
    }

    /// A thaw by each thread before anything is frozen, which does nothing but take all that one
    /// needs into memory.
    pub fn rehearse(&self, threads: usize) {
        (0..self.page.count()).take(threads).for_each(|index| {
            self.crew.order(index, Order::Thaw);
        });
        let until = sys::boottime_ns() + nanos(LEVEL_PATIENCE);
        while (0..self.page.count()).any(|index| self.crew.is_busy(index))
            && sys::boottime_ns() < until
        {
            wait(self.done, Duration::from_millis(5));
        }
    }

    fn order(&self, index: usize, holder: Holder, is_dead: &impl Fn(u8) -> bool) {
        if let Fs::Thawing(rank) = self.page.fs(index)
            && is_dead(rank)
        {
            self.page.change(index, Fs::Thawing(rank), Fs::Frozen);
        }
        match (self.page.fs(index), holder) {
            (Fs::Frozen, _) => self.crew.order(index, Order::Thaw),
            (Fs::Freezing, Holder::Killed) => self.crew.order(index, Order::Reclaim),
            (Fs::Freezing, Holder::Gone) => self.crew.order(index, Order::ReclaimLast),
            _ => false,
        };
    }
}

/// Waits until a thread has finished, or for a time.
pub fn wait(done: &File, time: Duration) {
    sys::poll(&mut [sys::readable(done.as_raw_fd())], millis(time));
    drain(done);
}

/// Resets the counter that woke us.
pub fn drain(counter: &File) {
    let _ = (&*counter).read(&mut [0; 8]);
}

/// A duration in nanoseconds; everything here is far from the limit.
#[must_use]
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration for `poll`.
#[must_use]
pub fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
