//! One thread a filesystem, started before anything is frozen: flushes, freezes and
//! thaws of different filesystems run at the same time, and one that the kernel does
//! not let return holds up nobody else.
//!
//! The threads allocate nothing once anything is frozen. Who may thaw what is decided by the
//! claims in the shared page, so that the crews of holder and sentinels never thaw one
//! filesystem twice.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::page::{Fs, Page};
use crate::{failpoint, pagecache, sys};

/// The threads do little more than one system call; with all memory locked, the
/// standard two megabytes each would be real memory.
const STACK_BYTES: usize = 64 * 1024;

/// What a thread is to do next.
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

#[derive(Debug)]
struct Slot {
    order: Mutex<Order>,
    wake: Condvar,
    files: Mutex<Vec<File>>,
    until_ns: AtomicU64,
    busy: AtomicBool,
    took_ns: AtomicU64,
    errno: AtomicI32,
}

/// The threads of one process.
#[derive(Clone, Debug)]
pub struct Crew {
    slots: Arc<Vec<Slot>>,
}

impl Crew {
    /// Starts a thread for each file; `done` is signalled whenever one has finished.
    pub fn start(
        page: Page,
        files: &Arc<Vec<File>>,
        done: &Arc<File>,
        rank: u8,
    ) -> io::Result<Self> {
        let slots = Arc::new(files.iter().map(|_| Slot::new()).collect::<Vec<Slot>>());
        for index in 0..files.len() {
            let (slots, files) = (Arc::clone(&slots), Arc::clone(files));
            let done = Arc::clone(done);
            thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
                let (Some(slot), Some(file)) = (slots.get(index), files.get(index)) else { return };
                loop {
                    let order = slot.next();
                    slot.perform(order, page, index, file, rank);
                    slot.busy.store(false, SeqCst);
                    // A full counter has woken the reader already.
                    let _ = (&*done).write(&1_u64.to_ne_bytes());
                }
            })?;
        }
        Ok(Self { slots })
    }

    /// Gives a thread its order, unless it is still busy with the last one.
    pub fn order(&self, index: usize, order: Order) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        if slot.busy.swap(true, SeqCst) {
            return false;
        }
        slot.errno.store(0, SeqCst);
        *slot.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        slot.wake.notify_one();
        true
    }

    /// Orders the files of one filesystem to be written, as far as the time allows. They
    /// are closed before the order is done: a file that was deleted meanwhile could not be
    /// closed while its filesystem is frozen.
    pub fn write(&self, index: usize, files: Vec<File>, until_ns: u64) -> bool {
        let Some(slot) = self.slots.get(index).filter(|_| !self.is_busy(index)) else {
            return false;
        };
        *slot.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        slot.until_ns.store(until_ns, SeqCst);
        self.order(index, Order::Write)
    }

    /// Whether a thread has not finished its order.
    #[must_use]
    pub fn is_busy(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.busy.load(SeqCst))
    }

    /// How long its last order took.
    #[must_use]
    pub fn took_ns(&self, index: usize) -> u64 {
        self.slots.get(index).map_or(0, |slot| slot.took_ns.load(SeqCst))
    }

    /// The error number that its last order ended with; zero for none.
    #[must_use]
    pub fn errno(&self, index: usize) -> i32 {
        self.slots.get(index).map_or(0, |slot| slot.errno.load(SeqCst))
    }
}

impl Slot {
    fn new() -> Self {
        Self {
            order: Mutex::new(Order::Rest),
            wake: Condvar::new(),
            files: Mutex::new(Vec::new()),
            until_ns: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            took_ns: AtomicU64::new(0),
            errno: AtomicI32::new(0),
        }
    }

    fn next(&self) -> Order {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while *order == Order::Rest {
            order = self.wake.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::replace(&mut *order, Order::Rest)
    }

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
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        let until_ns = self.until_ns.load(SeqCst);
        let in_time = || sys::boottime_ns() < until_ns;
        files.iter().try_for_each(|file| pagecache::write_out(file, in_time))
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
