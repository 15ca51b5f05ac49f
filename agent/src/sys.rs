//! Every call to the kernel that the standard library does not offer, and all of the
//! `unsafe` of the agent but that of `pagecache` and `walk`.
//!
//! Each function is as thin as it can be and returns `io::Result`; nothing here knows
//! what a hold is. None of the functions that run between the first freeze and the
//! thaw allocates, opens or logs.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

mod files;
mod heap;
mod lock;
mod memory;
mod process;
mod socket;
mod threads;
mod waiting;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub use files::{free_bytes, freeze, is_tmpfs, mount_id, read_told, syncfs, thaw};
pub use heap::Heap;
pub use lock::{is_locked, try_lock, unlock};
pub use memory::{lock_memory, lock_touched_memory, map_words};
pub use process::{
    Forked, close_from, effective_uid, exit_now, fork, hurry, kill, kill_group, new_session, pidfd,
    raise, replace_stdio, set_name, set_thread_euid, thread_id, without_core_dump,
};
pub use socket::{connect, listen, peer_uid, socket_pair};
pub use threads::spawn;
pub use waiting::{POLLHUP, POLLIN, boottime_ns, eventfd, poll, pollfd, readable, signals};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
