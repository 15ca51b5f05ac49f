//! The clock, and waiting for something to happen.

use std::fs::File;
use std::io;
use std::os::fd::RawFd;

use super::{check, owned};

/// Nanoseconds since boot, suspended time included; never steps back and no
/// administrator sets it.
#[must_use]
pub fn boottime_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What `poll` takes and fills.
pub use libc::{POLLHUP, POLLIN, pollfd};

/// Waits until a descriptor is ready; a signal or the time-out ends it with zero.
pub fn poll(fds: &mut [pollfd], timeout_ms: i32) -> usize {
    let count = libc::nfds_t::try_from(fds.len()).unwrap_or(0);
    // SAFETY: pointer and length are those of one live slice.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, timeout_ms) };
    usize::try_from(ready).unwrap_or(0)
}

/// A request to `poll` for input on one descriptor; a negative one is skipped.
#[must_use]
pub fn readable(fd: RawFd) -> pollfd {
    pollfd { fd, events: POLLIN, revents: 0 }
}

/// A counter that makes `poll` return.
pub fn eventfd() -> io::Result<File> {
    // SAFETY: eventfd takes two integers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(File::from)
}

/// Blocks the polite signals and returns a descriptor that tells of them.
pub fn signals(wanted: &[i32]) -> io::Result<File> {
    // SAFETY: an all-zero sigset is valid storage, and sigemptyset initialises it; every
    // pointer below is to this live set.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in wanted {
            libc::sigaddset(&raw mut set, signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        owned(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
            .map(File::from)
    }
}
