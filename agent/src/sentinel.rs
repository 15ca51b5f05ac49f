//! The processes that thaw when the holder cannot: it died, it was stopped, or the
//! deadline has passed and it does nothing.
//!
//! There are two, with the same open filesystems as the holder: the second does for the
//! first what the first does for the holder, so that killing any two of the three still
//! leaves one. A sentinel allocates, opens and logs nothing once it is ready, unless the
//! kernel keeps all its threads (`crew`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::apps::owed;
use crate::crew::Crew;
use crate::failpoint;
use crate::hold::{Cause, Event, Phase};
use crate::page::{Fs, Page};
use crate::process;
use crate::rcu::Rcu;
use crate::record::Record;
use crate::state::State;
use crate::sys;
use crate::thaw::{self, Holder, Thawer, nanos};

/// Any two of holder and sentinels may die at once.
pub const SENTINELS: u8 = 2;

/// Threads that a sentinel has from the beginning. A thaw takes a tenth of a millisecond, so
/// that two do all that there can be in a few; more are started when the kernel keeps both.
const THREADS: usize = 2;

/// How often a sentinel looks.
const TICK: Duration = Duration::from_millis(100);
/// Ticks without a sign of the holder after which it counts as dead. Ticks, not time: a
/// machine that is paused pauses both.
const SILENT_TICKS_MAX: u32 = 25;
/// How long the one before is given to do what is due.
const GRACE: Duration = Duration::from_millis(500);
/// The sentinels of a loaded machine are ready well within this.
const READY_PATIENCE: Duration = Duration::from_secs(2);

/// All that a sentinel has.
#[derive(Debug)]
pub struct Sentinel {
    /// Its place in the line: the holder is 0.
    pub rank: u8,
    /// The shared page.
    pub page: Page,
    /// The open filesystems.
    pub files: Arc<Vec<File>>,
    /// How deep each lies on others.
    pub depths: Vec<usize>,
    /// Becomes readable when the hold is over.
    pub over: File,
    /// The RCU switch.
    pub rcu: Rcu,
    /// The lock, so that no other hold begins before the last of us has gone.
    pub lock: File,
    /// Where it is on record what applications are owed; none where there are none.
    pub owed: Option<(State, Record)>,
    /// The holder.
    pub holder: OwnedFd,
    /// The sentinels before this one.
    pub seniors: Vec<OwnedFd>,
}

/// Waits, in the holder, until every sentinel could thaw.
pub fn wait_until_ready(page: Page) -> io::Result<()> {
    let until = sys::boottime_ns() + nanos(READY_PATIENCE);
    while page.sentinels_ready() < u64::from(SENTINELS) {
        if sys::boottime_ns() >= until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the sentinels are not ready"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Runs a sentinel in a process of its own, to its end.
pub fn run(sentinel: Sentinel) -> ! {
    process::part("sp-sentinel");
    let code = i32::from(sentinel.stand().is_err());
    sys::exit_now(code)
}

impl Sentinel {
    fn stand(&self) -> io::Result<()> {
        // Asked to stop, as at shutdown, the holder thaws and this process follows it.
        let _signals = sys::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        let done = Arc::new(sys::eventfd()?);
        let crew = Crew::start(self.page, &self.files, &done, self.rank, THREADS)?;
        let thawer = Thawer {
            page: self.page,
            crew: &crew,
            depths: &self.depths,
            done: &done,
            rank: self.rank,
        };
        // What it may need is what it has touched once, program and memory. The rest of the program
        // stays in memory as long as the holder does, which locks all of it.
        thawer.rehearse(THREADS);
        sys::lock_touched_memory()?;
        sys::hurry(0);
        crew.hurry();
        self.page.sentinel_ready();
        self.watch(&thawer);
        if let Some((state, record)) = &self.owed {
            self.see_off(state, record);
        }
        Ok(())
    }

    /// Stays until the holder has run what hooks are owed, or runs it when the holder and
    /// the sentinels before this one are no more. Nothing is frozen any more.
    fn see_off(&self, state: &State, record: &Record) {
        loop {
            // Asked before: a holder that has gone after it has left no more than a failure.
            let gone = std::iter::once(&self.holder).chain(&self.seniors).all(is_gone);
            let patience = if gone { Duration::ZERO } else { TICK };
            let mut fds = [sys::readable(self.over.as_raw_fd())];
            if sys::poll(&mut fds, thaw::millis(patience)) > 0 {
                return;
            }
            if gone {
                break;
            }
        }
        let saved = state.load(&record.execution_id);
        owed::settle(state, &mut saved.unwrap_or_else(|| record.clone()), "a sentinel");
    }

    fn watch(&self, thawer: &Thawer<'_>) {
        let (mut silent, mut beats, mut due_since) = (0, 0, None);
        loop {
            let ticked = self.wait();
            let hold = self.page.hold();
            if hold.phase == Phase::Over {
                return;
            }
            let now = sys::boottime_ns();
            let gone = is_gone(&self.holder);
            // Before the freezes the holder may be busy with an application for long.
            let quiet = hold.phase != Phase::Preparing && beats == self.page.beats();
            silent = if quiet { silent + u32::from(ticked) } else { 0 };
            beats = self.page.beats();
            let overdue = self.is_overdue(now);
            let due = gone || silent >= SILENT_TICKS_MAX || overdue;
            if !due {
                due_since = None;
                continue;
            }
            let since = *due_since.get_or_insert(now);
            if !self.is_my_turn(now, since) {
                continue;
            }
            failpoint::hit("sentinel.acts");
            if silent >= SILENT_TICKS_MAX && !gone {
                // It may come back at any instruction, even between deciding to freeze and
                // freezing; after this it cannot.
                let _ = sys::kill(self.holder.as_fd());
                self.take_over(thawer, Cause::HolderSilent);
                return;
            }
            if gone {
                self.take_over(thawer, Cause::HolderGone);
                return;
            }
            self.page.apply(Event::Stop(Cause::Deadline, 0));
            thawer.round(Holder::Alive, |rank| self.is_dead(rank));
        }
    }

    /// Waits for the next look; true when a whole tick has passed.
    fn wait(&self) -> bool {
        let left = match self.page.deadline_ns() {
            0 => TICK,
            at => Duration::from_nanos(at.saturating_sub(sys::boottime_ns())),
        };
        // Once the deadline has passed it is no reason to look more often.
        let time = if left.is_zero() { TICK } else { TICK.min(left) };
        let mut fds = [sys::readable(self.over.as_raw_fd()), sys::readable(-1)];
        if is_gone(&self.holder) {
            // It stays readable; what is waited for now is one's turn.
            sys::poll(&mut fds, 5);
            return false;
        }
        fds[1].fd = self.holder.as_raw_fd();
        sys::poll(&mut fds, thaw::millis(time.max(Duration::from_millis(1)))) == 0 && time == TICK
    }

    fn is_overdue(&self, now: u64) -> bool {
        match self.page.deadline_ns() {
            0 => false,
            at if self.page.hold().is_ending() => {
                // It is being thawed; help only if that takes too long.
                let decided = self.page.ended_ns().max(at);
                now >= decided + nanos(GRACE) && self.page.any(|fs| fs == Fs::Frozen)
            }
            at => now >= at,
        }
    }

    /// The first sentinel acts at once, the second when the first has died or has had
    /// its chance.
    fn is_my_turn(&self, now: u64, due_since: u64) -> bool {
        let living = self.seniors.iter().filter(|senior| !is_gone(senior)).count();
        let patience = nanos(GRACE) * u64::try_from(living).unwrap_or(0);
        now >= due_since + patience
    }

    fn is_dead(&self, rank: u8) -> bool {
        match rank {
            0 => is_gone(&self.holder),
            _ => self.seniors.get(usize::from(rank) - 1).is_some_and(is_gone),
        }
    }

    /// Ends a hold whose holder is no more, until nothing can be frozen by it any more.
    fn take_over(&self, thawer: &Thawer<'_>, cause: Cause) {
        self.page.apply(Event::Stop(cause, 0));
        self.rcu.off();
        loop {
            // Asked before the round: what the round then finds was done before.
            let gone = is_gone(&self.holder);
            let holder = if gone { Holder::Gone } else { Holder::Killed };
            let closed = thawer.round(holder, |rank| (rank == 0 && gone) || self.is_dead(rank));
            if closed && gone {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.rcu.off();
        self.page.apply(Event::AllThawed);
    }
}

fn is_gone(process: &OwnedFd) -> bool {
    sys::poll(&mut [sys::readable(process.as_raw_fd())], 0) > 0
}
