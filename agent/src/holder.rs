//! The process that keeps the hold: prepares, freezes, waits, thaws, and writes down
//! what happened.
//!
//! It has left the client's session and its pipes. Between the first freeze and the last
//! thaw it opens, executes, allocates and logs nothing; what it needs then is made
//! before, in `prepare`. How a hold may go is decided in `hold`, by whom a thaw is done in
//! `crew`.

mod prepare;

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use crate::apps::Application;
use crate::config::Config;
use crate::control::to_client;
use crate::crew::{Crew, Order};
use crate::hold::{Cause, End, Event, Phase};
use crate::mountinfo::Dev;
use crate::page::{Fs, Page};
use crate::pump::Pump;
use crate::rcu::Rcu;
use crate::record::{Process, Record};
use crate::sentinel::{self, SENTINELS, Sentinel};
use crate::state::State;
use crate::sys::{self, Forked};
use crate::systemd::Timer;
use crate::thaw::{Holder, Thawer};
use crate::{failpoint, process};

/// The holder is rank 0 among those that thaw; sentinels follow.
const RANK: u8 = 0;
/// How often the holder shows that it runs.
const BEAT: Duration = Duration::from_millis(100);
/// An application answers a question within this, or it is taken for lost.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);
/// The writers that were held need the processors for about as long as this; what is left to be
/// done then, taking three processes apart, would keep one of them busy.
const WRITERS_FIRST: Duration = Duration::from_millis(6);
/// Sentinels leave within one of their ticks once the hold is over.
const SENTINEL_PATIENCE: Duration = Duration::from_secs(1);

/// All that a holder is started with.
#[derive(Debug)]
pub struct Job {
    /// The process that asks for the hold.
    pub client: u32,
    /// The open filesystems, in the order of the page's entries; after them those that are
    /// flushed and not frozen.
    pub files: Arc<Vec<File>>,
    /// How deep each lies on others.
    pub depths: Vec<usize>,
    /// Mount points and superblocks of those that are only flushed.
    pub flushed: Vec<(String, Dev)>,
    /// The shared page.
    pub page: Page,
    /// Where the record is kept.
    pub state: State,
    /// The record.
    pub record: Record,
    /// What is to be quiesced.
    pub apps: Vec<Box<dyn Application>>,
    /// The lock, shared with the sentinels.
    pub lock: File,
    /// The settings.
    pub config: Config,
    /// When the pre-script's answer is due, on the boot clock.
    pub budget_ns: u64,
}

struct Holding {
    job: Job,
    pump: Pump,
    crew: Crew,
    done: Arc<File>,
    over: File,
    rcu: Rcu,
    timer: Option<Timer>,
}

/// Runs the holder in a process of its own, to its end.
pub fn run(job: Job, client: UnixStream, listener: UnixListener) -> ! {
    process::detach("sp-holder");
    let (state, mut record, page) = (job.state.clone(), job.record.clone(), job.page);
    let code = match Holding::begin(job, client, listener) {
        Ok(mut holding) => {
            holding.hold();
            holding.finish();
            0
        }
        Err(error) => {
            record.reason = format!("the holder cannot start: {error}");
            let _ = state.save(&record);
            page.apply(Event::Stop(Cause::Application, 0));
            1
        }
    };
    sys::exit_now(code)
}

impl Holding {
    /// Starts the sentinels and everything else that a hold needs; freezes nothing.
    fn begin(mut job: Job, client: UnixStream, listener: UnixListener) -> io::Result<Self> {
        let (page, over, rcu) =
            (job.page, sys::eventfd()?, Rcu::open(job.page, job.config.expedited_rcu));
        let me = std::process::id();
        let pidfd = sys::pidfd(i32::try_from(me).unwrap_or(0))?;
        job.record.processes.push(Process::of("holder", me));
        let mut seniors = Vec::new();
        for rank in 1..=SENTINELS {
            match sys::fork()? {
                Forked::Child => {
                    // Held by a sentinel, these would hide the holder's death.
                    drop((client, listener));
                    let Job { files, depths, lock, state, record, apps, flushed, config, .. } = job;
                    // Not freed: that would write to memory which is shared until then.
                    std::mem::forget((flushed, config));
                    let owed = if apps.is_empty() {
                        std::mem::forget((state, record));
                        None
                    } else {
                        Some((state, record))
                    };
                    let post = Sentinel {
                        rank,
                        page,
                        files,
                        depths,
                        over,
                        rcu,
                        lock,
                        owed,
                        holder: pidfd,
                        seniors,
                    };
                    sentinel::run(post)
                }
                Forked::Parent(pid) => {
                    let id = u32::try_from(pid).unwrap_or(0);
                    job.record.processes.push(Process::of("sentinel", id));
                    seniors.push(sys::pidfd(pid)?);
                }
            }
        }
        sentinel::wait_until_ready(page)?;
        let signals = sys::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        let done = Arc::new(sys::eventfd()?);

        let crew = Crew::start(page, &job.files, &done, RANK, job.files.len())?;
        job.state.save(&job.record)?;
        let id = &job.record.execution_id;
        let pump = Pump::new(page, id, Arc::clone(&done), signals, client, listener, seniors);
        Ok(Self { job, pump, crew, done, over, rcu, timer: None })
    }

    /// From the flush to the decision that the hold ends.
    fn hold(&mut self) {
        match self.prepare() {
            Ok(()) => self.freeze_and_tell(),
            Err((cause, why)) => {
                self.job.record.reason = why;
                self.job.page.apply(Event::Stop(cause, 0));
            }
        }
        while !self.job.page.hold().is_ending() {
            let now = sys::boottime_ns();
            if now >= self.job.page.deadline_ns() {
                self.job.page.apply(Event::Stop(Cause::Deadline, 0));
            } else if self.pump.phase() < Phase::Acknowledged && now >= self.job.budget_ns {
                self.job.page.apply(Event::Stop(Cause::Budget, 0));
            }
            let left = self.job.page.deadline_ns().saturating_sub(now);
            self.pump.turn(BEAT.min(Duration::from_nanos(left)).max(Duration::from_millis(1)));
        }
    }

    fn freeze_and_tell(&mut self) {
        failpoint::hit("holder.prepared");
        // Whoever writes waits for these threads now, on a machine that may be busy.
        sys::hurry(0);
        // Not while xfs freezes: it wakes a thread of its own, of ordinary priority, once a step.
        // One that ours kept from going to sleep after the last step misses that, and rests for
        // 50 ms.
        let overtakes = self.job.record.filesystems.iter().any(|fs| fs.fs == "xfs");
        if !overtakes {
            self.crew.hurry();
        }
        self.rcu.on();
        let frozen = self.job.page.apply(Event::Arm) && self.freeze();
        if overtakes {
            self.crew.hurry();
        }
        self.rcu.off();
        failpoint::hit("holder.frozen");
        if frozen && self.job.page.apply(Event::AllFrozen) {
            self.pump.tell_client(&[to_client::FROZEN]);
        }
    }

    /// Freezes from the top of the stacks down, all of one depth at once; true when
    /// everything is frozen.
    fn freeze(&mut self) -> bool {
        let levels = self.job.depths.iter().max().map_or(0, |deepest| deepest + 1);
        for level in (0..levels).rev() {
            for (index, depth) in self.job.depths.iter().enumerate() {
                if *depth == level {
                    self.crew.order(index, Order::Freeze);
                }
            }
            while !self.level_is_frozen(level) {
                if self.job.page.hold().is_ending() {
                    return false;
                }
                self.pump.turn(Duration::from_millis(20));
            }
        }
        true
    }

    /// Whether a level is frozen; ends the hold when it never will be.
    fn level_is_frozen(&self, level: usize) -> bool {
        let page = self.job.page;
        let late = sys::boottime_ns() >= self.job.budget_ns;
        let mut all = true;
        for (index, depth) in self.job.depths.iter().enumerate() {
            if *depth != level || page.fs(index) == Fs::Frozen {
                continue;
            }
            all = false;
            // Read in this order: a thread notes its error before it stops being busy.
            let idle = !self.crew.is_busy(index);
            let filesystem = u16::try_from(index).unwrap_or(u16::MAX);
            match self.crew.errno(index) {
                0 if late => page.apply(Event::Stop(Cause::FreezeStuck, filesystem)),
                libc::EBUSY if idle => page.apply(Event::Stop(Cause::FreezeBusy, filesystem)),
                errno if idle && errno != 0 => {
                    page.note_freeze_errno(errno);
                    page.apply(Event::Stop(Cause::FreezeRefused, filesystem))
                }
                _ => false,
            };
        }
        all
    }

    /// Thaws everything, then lets the applications go, then writes it down.
    fn finish(&mut self) {
        failpoint::hit("holder.ending");
        let page = self.job.page;
        let mut told = false;
        loop {
            let thawer = Thawer {
                page,
                crew: &self.crew,
                depths: &self.job.depths,
                done: &self.done,
                rank: RANK,
            };
            if thawer.round(Holder::Alive, |rank| self.pump.is_dead(rank)) {
                break;
            }
            // What is stuck in the kernel is thawed by its thread when it comes back; the
            // client's time is over before that.
            if !told && !page.any(|fs| matches!(fs, Fs::Frozen | Fs::Thawing(_))) {
                self.pump.tell_client(&[to_client::ENDED]);
                told = true;
            }
            self.pump.turn(Duration::from_millis(20));
        }
        failpoint::hit("holder.thawed");
        page.apply(Event::AllThawed);
        self.release();
        self.leave();
    }

    fn release(&mut self) {
        let kept = self.job.page.hold().end == End::Released;
        for app in self.job.apps.iter_mut().rev() {
            if let Err(why) = app.release(kept, RELEASE_PATIENCE) {
                let reason = &mut self.job.record.reason;
                *reason = if reason.is_empty() { why } else { format!("{reason}; {why}") };
            }
        }
        std::thread::sleep(WRITERS_FIRST);
        self.job.record.applications = self.job.apps.iter().map(|app| app.describe()).collect();
        self.job.record.closed = true;
        // If this fails the record stays open, and the next call says that it cannot tell.
        let _ = self.job.state.save(&self.job.record);
        failpoint::hit("holder.recorded");
    }

    /// Gives up the lock before anybody is told, so that the next pre-script finds it free.
    fn leave(&mut self) {
        let _ = io::Write::write(&mut &self.over, &1_u64.to_ne_bytes());
        self.pump.wait_for_sentinels(SENTINEL_PATIENCE);
        let _ = std::fs::remove_file(self.job.state.socket());
        if self.job.page.is_at_rest() {
            self.job.state.shelve(&self.job.record.execution_id);
        }
        let _ = sys::unlock(&self.job.lock);
        self.pump.answer_callers();
        self.pump.tell_client(&[to_client::ENDED]);
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }
}
