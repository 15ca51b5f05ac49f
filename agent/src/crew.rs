//! Threads that flush, freeze and thaw: different filesystems at the same time, so that one
//! that the kernel does not let return holds up nobody else.
//!
//! The holder has one a filesystem, started before anything is frozen. A sentinel, which
//! will most likely never act, has a few; only when the kernel keeps all of them does it
//! start more. Who may thaw what is decided by the claims in the shared page, so that the
//! crews of holder and sentinels never thaw one filesystem twice.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::pace::Pace;
use crate::page::{Fs, Page};
use crate::{failpoint, pagecache, sys, thaw};

/// The threads do little more than one system call; with all memory locked, each page of a
/// stack is real memory.
const STACK_BYTES: usize = 16 * 1024;
/// A thread that has not begun by then is done without until it does.
const BEGUN_WITHIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What is to be done for one filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Rest,
    /// Writing the given files out, piece by piece.
    Write,
    /// `syncfs`.
    Flush,
    /// FIFREEZE, if the hold still wants it.
    Freeze,
    /// FITHAW of what was frozen.
    Thaw,
    /// FITHAW of what a holder that was killed may have frozen without noting it.
    Reclaim,
    /// The same when the holder is known to be gone: nothing can be frozen after it.
    ReclaimLast,
}

/// Files that are to be written.
#[derive(Debug, Default)]
pub struct Writing {
    /// The files, all of one filesystem.
    pub files: Vec<File>,
    /// How much waits in them, if it is to be spread out (`pace`).
    pub bytes: Option<u64>,
    /// When the time for it is over, on the boot clock.
    pub until_ns: u64,
}

/// What the order of one filesystem has come to.
#[derive(Debug, Default)]
struct Slot {
    writing: Mutex<Writing>,
    busy: AtomicBool,
    ordered_ns: AtomicU64,
    took_ns: AtomicU64,
    errno: AtomicI32,
}

#[derive(Debug)]
struct Shared {
    page: Page,
    rank: u8,
    files: Arc<Vec<File>>,
    done: Arc<File>,
    slots: Vec<Slot>,
    /// The orders that no thread has taken yet, one a filesystem.
    orders: Mutex<Vec<Order>>,
    wake: Condvar,
    /// The threads' ids; zero for one that does not run yet.
    threads: Vec<AtomicI32>,
    started: AtomicUsize,
}

/// The threads of one process.
#[derive(Clone, Debug)]
pub struct Crew {
    shared: Arc<Shared>,
}

impl Crew {
    /// Starts threads, no more than there are files; `done` is signalled whenever an order
    /// is finished.
    pub fn start(
        page: Page,
        files: &Arc<Vec<File>>,
        done: &Arc<File>,
        rank: u8,
        threads: usize,
    ) -> io::Result<Self> {
        let count = files.len();
        let shared = Shared {
            page,
            rank,
            files: Arc::clone(files),
            done: Arc::clone(done),
            slots: (0..count).map(|_| Slot::default()).collect(),
            orders: Mutex::new(vec![Order::Rest; count]),
            wake: Condvar::new(),
            threads: (0..count).map(|_| AtomicI32::new(0)).collect(),
            started: AtomicUsize::new(0),
        };
        let crew = Self { shared: Arc::new(shared) };
        crew.grow(threads)?;
        crew.wait_until_begun();
        Ok(crew)
    }

    /// A thread takes memory when it begins to run, which on a busy machine may be long after
    /// it was started, and must not be after the first freeze.
    fn wait_until_begun(&self) {
        let until_ns = sys::boottime_ns() + thaw::nanos(BEGUN_WITHIN);
        let begun = |thread: &AtomicI32| thread.load(SeqCst) != 0;
        let started = self.shared.started.load(SeqCst);
        while !self.shared.threads.iter().take(started).all(begun) && sys::boottime_ns() < until_ns
        {
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Starts more threads, no more in all than there are filesystems.
    fn grow(&self, more: usize) -> io::Result<()> {
        for _ in 0..more {
            let at = self.shared.started.load(SeqCst);
            if at >= self.shared.slots.len() {
                break;
            }
            let shared = Arc::clone(&self.shared);
            sys::spawn(STACK_BYTES, move || shared.work(at))?;
            self.shared.started.store(at + 1, SeqCst);
        }
        Ok(())
    }

    /// Starts a thread for each order that none has taken for so long: all there are wait for
    /// the kernel. Takes memory, which only a sentinel ever has to, as the last resort.
    pub fn reinforce(&self, patience: Duration) {
        let (shared, now) = (&*self.shared, sys::boottime_ns());
        let late = |slot: &Slot| now >= slot.ordered_ns.load(SeqCst) + thaw::nanos(patience);
        let orders = shared.orders().iter().zip(&shared.slots).fold(0, |count, (order, slot)| {
            count + usize::from(*order != Order::Rest && late(slot))
        });
        // Without memory for it, what waits is done when a thread comes back.
        let _ = self.grow(orders);
    }

    /// Puts every thread before the machine's ordinary work.
    pub fn hurry(&self) {
        let ids = self.shared.threads.iter().map(|thread| thread.load(SeqCst));
        ids.filter(|id| *id != 0).for_each(sys::hurry);
    }

    /// Orders something for one filesystem, unless its last order is not finished.
    pub fn order(&self, index: usize, order: Order) -> bool {
        let Some(slot) = self.shared.slots.get(index) else { return false };
        if slot.busy.swap(true, SeqCst) {
            return false;
        }
        slot.errno.store(0, SeqCst);
        slot.ordered_ns.store(sys::boottime_ns(), SeqCst);
        if let Some(place) = self.shared.orders().get_mut(index) {
            *place = order;
        }
        self.shared.wake.notify_one();
        true
    }

    /// Orders the files of one filesystem to be written, as far as the time allows. They
    /// are closed before the order is done: a file that was deleted meanwhile could not be
    /// closed while its filesystem is frozen.
    pub fn write(&self, index: usize, writing: Writing) -> bool {
        let Some(slot) = self.shared.slots.get(index).filter(|_| !self.is_busy(index)) else {
            return false;
        };
        *slot.writing.lock().unwrap_or_else(PoisonError::into_inner) = writing;
        self.order(index, Order::Write)
    }

    /// Whether a thread has not finished its order.
    #[must_use]
    pub fn is_busy(&self, index: usize) -> bool {
        self.shared.slots.get(index).is_some_and(|slot| slot.busy.load(SeqCst))
    }

    /// How long its last order took.
    #[must_use]
    pub fn took_ns(&self, index: usize) -> u64 {
        self.shared.slots.get(index).map_or(0, |slot| slot.took_ns.load(SeqCst))
    }

    /// The error number that its last order ended with; zero for none.
    #[must_use]
    pub fn errno(&self, index: usize) -> i32 {
        self.shared.slots.get(index).map_or(0, |slot| slot.errno.load(SeqCst))
    }
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, at: usize) {
        if let Some(thread) = self.threads.get(at) {
            thread.store(sys::thread_id(), SeqCst);
        }
        loop {
            let (index, order) = self.next();
            let (Some(slot), Some(file)) = (self.slots.get(index), self.files.get(index)) else {
                return;
            };
            slot.perform(order, self.page, index, file, self.rank);
            slot.busy.store(false, SeqCst);
            // A full counter has woken the reader already.
            let _ = (&*self.done).write(&1_u64.to_ne_bytes());
        }
    }

    /// Takes the next order. Thaws of what is frozen come first: the others may not return.
    fn next(&self) -> (usize, Order) {
        let mut orders = self.orders();
        loop {
            let thaw = orders.iter().position(|order| *order == Order::Thaw);
            let next = thaw.or_else(|| orders.iter().position(|order| *order != Order::Rest));
            if let Some(index) = next {
                return (index, std::mem::replace(&mut orders[index], Order::Rest));
            }
            orders = self.wake.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Slot {
    fn perform(&self, order: Order, page: Page, index: usize, file: &File, rank: u8) {
        let begun = sys::boottime_ns();
        let result = match order {
            Order::Rest => Ok(()),
            Order::Write => self.write(),
            Order::Flush => sys::syncfs(file.as_fd()),
            Order::Freeze => freeze(page, index, file, rank),
            Order::Thaw => thaw(page, index, file, rank),
            Order::Reclaim => reclaim(page, index, file, false),
            Order::ReclaimLast => reclaim(page, index, file, true),
        };
        let errno = result.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
        self.errno.store(errno, SeqCst);
        self.took_ns.store(sys::boottime_ns().saturating_sub(begun), SeqCst);
    }

    fn write(&self) -> io::Result<()> {
        let Writing { files, bytes, until_ns } =
            std::mem::take(&mut *self.writing.lock().unwrap_or_else(PoisonError::into_inner));
        let mut pace = Pace::begin(sys::boottime_ns(), until_ns, bytes);
        files.iter().try_for_each(|file| pagecache::write_out(file, &mut pace))
    }
}

fn freeze(page: Page, index: usize, file: &File, rank: u8) -> io::Result<()> {
    if !page.change(index, Fs::Idle, Fs::Freezing) {
        return Ok(());
    }
    // A hold that ended between the order and the line above may have been looked over
    // for filesystems to thaw already, and would not be looked over again for this one.
    if !page.hold().may_freeze() {
        page.change(index, Fs::Freezing, Fs::Idle);
        return Ok(());
    }
    failpoint::hit("holder.before-freeze");
    let result = sys::freeze(file.as_fd());
    failpoint::hit("holder.after-freeze");
    if let Err(error) = result {
        page.change(index, Fs::Freezing, Fs::Idle);
        return Err(error);
    }
    page.change(index, Fs::Freezing, Fs::Frozen);
    // The hold may have ended while the kernel kept us: whoever thaws has then seen
    // `Freezing` and left it to this thread.
    if page.hold().is_ending() { thaw(page, index, file, rank) } else { Ok(()) }
}

fn thaw(page: Page, index: usize, file: &File, rank: u8) -> io::Result<()> {
    // The claim: of all processes that want to thaw this filesystem, one does.
    if !page.change(index, Fs::Frozen, Fs::Thawing(rank)) {
        return Ok(());
    }
    failpoint::hit(if rank == 0 { "holder.before-thaw" } else { "sentinel.before-thaw" });
    let result = sys::thaw(file.as_fd());
    failpoint::hit(if rank == 0 { "holder.after-thaw" } else { "sentinel.after-thaw" });
    match result {
        Ok(()) => page.change(index, Fs::Thawing(rank), Fs::Thawed),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            page.change(index, Fs::Thawing(rank), Fs::Lost)
        }
        Err(error) => {
            page.change(index, Fs::Thawing(rank), Fs::Frozen);
            return Err(error);
        }
    };
    Ok(())
}

/// A freeze that the kernel did not let return completes even when its process was
/// killed, and is then nobody's. Until the process has gone, "not frozen" may mean "not
/// yet".
fn reclaim(page: Page, index: usize, file: &File, holder_is_gone: bool) -> io::Result<()> {
    if page.fs(index) != Fs::Freezing {
        return Ok(());
    }
    match sys::thaw(file.as_fd()) {
        Ok(()) => page.change(index, Fs::Freezing, Fs::Thawed),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            holder_is_gone && page.change(index, Fs::Freezing, Fs::Idle)
        }
        Err(error) => return Err(error),
    };
    Ok(())
}
