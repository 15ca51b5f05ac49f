//! Writes out what is dirty before the freeze, so that the freeze itself has nothing to
//! write: first the open files in small pieces, so that nobody's fsync waits behind all
//! of it, then passes of `syncfs` over what is left, all filesystems at once.
//!
//! Every pass leaves behind what was written during it, so that passes shrink by the
//! ratio of the writers' speed to the device's. Where they do not shrink, a freeze would
//! hold the writers for as long as a pass takes; that is refused, not done.

use std::fmt;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::crew::{Crew, Order, Writing};
use crate::mountinfo::Dev;
use crate::thaw;
use crate::{backlog, dirty, pagecache, sys, walk};

/// A pass this short leaves less behind than one freeze costs anyway.
const SHORT: Duration = Duration::from_millis(10);

/// The stall budget that nobody has set.
pub const STALL_MAX: Duration = Duration::from_millis(100);

/// The last of these many passes has to be shorter than the first, or none will be.
const PASSES_TO_SHRINK: usize = 4;

/// Below this on one filesystem its files are left to `syncfs`, and none of them is looked for: a
/// sixteenth of a second at gp3's baseline.
const WORTH_BYTES: u64 = 8 << 20;

/// A pass over open files that is this short has found next to nothing to write.
const WRITE_SHORT: Duration = Duration::from_millis(50);

/// Looking for open files on a machine with very many of them ends after this.
pub const LOOK_MAX: Duration = Duration::from_millis(200);

/// Below this on all of them, which may share one device, files that were closed are left to
/// `syncfs`: a quarter of a second at gp3's baseline, about as long as looking for them may take.
const WORTH_WALKING_BYTES: u64 = 32 << 20;

/// Why there is no point in a freeze now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The filesystem of this index was not done in time.
    Late(usize),
    /// The filesystem of this index said this error number.
    Failed(usize, i32),
    /// The filesystem of this index is written to about as fast as its device writes: how
    /// long the last pass took, and what is allowed.
    Endless(usize, Duration, Duration),
}

impl Trouble {
    /// The filesystem that it is about.
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Late(index) | Self::Failed(index, _) | Self::Endless(index, ..) => *index,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(_) => write!(out, "the flush was not done within the budget"),
            Self::Failed(_, errno) => {
                write!(out, "the flush failed: {}", io::Error::from_raw_os_error(*errno))
            }
            Self::Endless(_, last, allowed) => write!(
                out,
                "it is written to as fast as its volume writes: a freeze would hold the writers \
                 for {} ms, at most {} ms are allowed",
                last.as_millis(),
                allowed.as_millis()
            ),
        }
    }
}

/// What to do after some passes of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// One more: it will be shorter.
    Again,
    /// Enough: the last one was short.
    Done,
    /// They do not become shorter.
    Endless,
}

/// Decides after each pass from how long all of them took. Pure.
#[must_use]
pub fn next(passes: &[Duration], short: Duration) -> Next {
    let Some(last) = passes.last() else { return Next::Again };
    if *last < short {
        return Next::Done;
    }
    let window = &passes[passes.len().saturating_sub(PASSES_TO_SHRINK)..];
    let shrinks = window.iter().rev().skip(1).any(|before| *last * 20 < *before * 19);
    if window.len() < PASSES_TO_SHRINK || shrinks { Next::Again } else { Next::Endless }
}

/// How the flush went: the passes over open files, and those of `syncfs`.
pub type Passes = (Vec<Duration>, Vec<Duration>);

/// What a flush works with.
#[derive(Debug)]
pub struct Flush<'a> {
    /// The threads.
    pub crew: &'a Crew,
    /// The filesystems, in the threads' order.
    pub devs: &'a [Dev],
    /// Our own processes, which have no files to write.
    pub ours: &'a [u32],
    /// The open filesystems, in the same order.
    pub files: &'a [File],
    /// Signalled when a thread has finished.
    pub done: &'a File,
    /// When the time for it is over, on the boot clock.
    pub until_ns: u64,
    /// The longest pass that may come last: what it leaves behind is added to the stall.
    pub stall_budget: Duration,
}

impl Flush<'_> {
    /// Flushes until what is left is less than a stall that nobody notices.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn run(&self) -> Result<Passes, Trouble> {
        let mut written: Vec<Duration> = Vec::new();
        let nothing_yet = |written: &[Duration]| written.iter().all(|pass| *pass < WRITE_SHORT);
        let mut worth = self.worth();
        while next(&written, WRITE_SHORT) == Next::Again && worth.open {
            written.push(self.write(|| self.open_files(), nothing_yet(&written))?);
            worth = self.worth();
        }
        if worth.closed {
            written.push(self.write(|| self.recent_files(), nothing_yet(&written))?);
        }
        let mut synced = Vec::new();
        loop {
            match next(&synced, SHORT) {
                Next::Again => {
                    synced.push(self.pass(|index| self.crew.order(index, Order::Flush))?)
                }
                Next::Endless if synced.last().is_some_and(|last| *last > self.stall_budget) => {
                    let last = synced[synced.len() - 1];
                    return Err(Trouble::Endless(self.slowest(), last, self.stall_budget));
                }
                Next::Done | Next::Endless => return Ok((written, synced)),
            }
        }
    }

    fn worth(&self) -> Worth {
        let machine = backlog::of_machine();
        let each = (machine >= WORTH_BYTES).then(|| backlog::of_devices(self.devs)).flatten();
        worth_looking(machine, each.as_deref())
    }

    fn open_files(&self) -> Vec<Vec<File>> {
        let until_ns = sys::boottime_ns() + thaw::nanos(LOOK_MAX);
        dirty::open_files(self.devs, self.ours, until_ns.min(self.until_ns))
    }

    /// One after the other, so that each has its share of the time.
    fn recent_files(&self) -> Vec<Vec<File>> {
        let share = LOOK_MAX / u32::try_from(self.files.len().max(1)).unwrap_or(1);
        let until = || (sys::boottime_ns() + thaw::nanos(share)).min(self.until_ns);
        self.files.iter().map(|root| walk::recent_files(root, until())).collect()
    }

    /// One pass over the files that a look has found. The first is spread out; those after it
    /// have to be shorter than it, and are as short as can be.
    fn write(
        &self,
        look: impl Fn() -> Vec<Vec<File>>,
        is_first: bool,
    ) -> Result<Duration, Trouble> {
        let mut found = worth_writing(look());
        self.pass(|index| {
            let (files, bytes) = found.get_mut(index).map(std::mem::take).unwrap_or_default();
            let bytes = bytes.filter(|_| is_first);
            let writing = Writing { files, bytes, until_ns: self.until_ns };
            !writing.files.is_empty() && self.crew.write(index, writing)
        })
    }

    /// Has something done for every filesystem at once; how long the slowest took.
    fn pass(&self, mut order: impl FnMut(usize) -> bool) -> Result<Duration, Trouble> {
        let ordered: Vec<usize> = (0..self.devs.len()).filter(|index| order(*index)).collect();
        while let Some(index) = ordered.iter().find(|index| self.crew.is_busy(**index)) {
            if sys::boottime_ns() >= self.until_ns {
                return Err(Trouble::Late(*index));
            }
            thaw::wait(self.done, Duration::from_millis(20));
        }
        if let Some(&index) = ordered.iter().find(|index| self.crew.errno(**index) != 0) {
            return Err(Trouble::Failed(index, self.crew.errno(index)));
        }
        let slowest = ordered.iter().map(|index| self.crew.took_ns(*index)).max().unwrap_or(0);
        Ok(Duration::from_nanos(slowest))
    }

    fn slowest(&self) -> usize {
        (0..self.devs.len()).max_by_key(|index| self.crew.took_ns(*index)).unwrap_or(0)
    }
}

/// Which files are worth looking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Those that a process has open.
    pub open: bool,
    /// Those that were closed.
    pub closed: bool,
}

/// Decides it by what waits on the machine and, where it is known, on each filesystem's device.
#[must_use]
pub fn worth_looking(machine: u64, each: Option<&[u64]>) -> Worth {
    let most = each.and_then(|each| each.iter().max().copied()).unwrap_or(machine);
    let closed = each.map_or(machine, |each| each.iter().sum()) >= WORTH_WALKING_BYTES;
    Worth { open: closed || most >= WORTH_BYTES, closed }
}

/// The files of those filesystems where there is more to write than `syncfs` may do at once;
/// of all where all together, which may share one device, have more. A kernel that cannot
/// tell how much that is may have much.
fn worth_writing(found: Vec<Vec<File>>) -> Vec<(Vec<File>, Option<u64>)> {
    let dirty = |files: &Vec<File>| -> Option<u64> {
        files.iter().map(|file| pagecache::dirty_bytes(file, 0, 0)).sum()
    };
    let each: Vec<Option<u64>> = found.iter().map(dirty).collect();
    let little = |dirty: Option<u64>, worth| dirty.is_some_and(|bytes| bytes < worth);
    let all = !little(each.iter().copied().sum(), WORTH_WALKING_BYTES);
    let wanted = |bytes| all || !little(bytes, WORTH_BYTES);
    let pairs = found.into_iter().zip(each);
    pairs.map(|pair| if wanted(pair.1) { pair } else { Default::default() }).collect()
}
