//! Processes: starting them, ending them, and what they are.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, owned};

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the id of the new one.
    Parent(libc::pid_t),
}

/// Forks. Callers are single-threaded: the child may go on using the allocator.
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the agent forks only before it has started a thread.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Leaves the caller's session and process group.
pub fn new_session() -> io::Result<()> {
    // SAFETY: setsid takes nothing.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Ends this process at once, without the exit handlers of the process it came from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// A descriptor that becomes readable when the process has gone, all its threads included.
pub fn pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(libc::c_int::try_from(fd).unwrap_or(-1))
}

/// Sends SIGKILL to the very process that the descriptor was opened for.
pub fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is what kill(2) would send.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, none, 0)
    };
    check(libc::c_int::try_from(result).unwrap_or(-1)).map(drop)
}

/// Sends SIGKILL to a process group, whose leader the caller has not waited for yet.
pub fn kill_group(group: libc::pid_t) -> io::Result<()> {
    // Zero and one would be the caller's own group, and everybody.
    if group < 2 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: kill takes two integers; the id is still that of the caller's child.
    check(unsafe { libc::kill(-group, libc::SIGKILL) }).map(drop)
}

/// Sends a signal to this very process.
pub fn raise(signal: i32) {
    // SAFETY: kill takes two integers; the process id is our own.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Changes the effective user of the calling thread alone.
///
/// glibc's own seteuid would change every thread, hence the raw call.
pub fn set_thread_euid(uid: u32) -> io::Result<()> {
    let keep = u32::MAX;
    // SAFETY: setresuid takes three integers.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, keep, uid, keep) };
    check(libc::c_int::try_from(result).unwrap_or(-1)).map(drop)
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) {
    // SAFETY: called before the agent has opened anything of its own.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Puts `file` in the place of standard input, output and error.
pub fn replace_stdio(file: &File) -> io::Result<()> {
    for fd in 0..3 {
        // SAFETY: dup2 onto the standard descriptors, which the standard library never closes.
        check(unsafe { libc::dup2(file.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// Has this process, and what it forks, end without a core dump.
pub fn without_core_dump() {
    // SAFETY: prctl takes integers here.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Names this process for `ps`; at most 15 bytes are kept.
pub fn set_name(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: the pointer is to a live string with its terminator.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// The effective user of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The kernel's number of the calling thread.
#[must_use]
pub fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    i32::try_from(id).unwrap_or(0)
}

/// Puts a thread of ours, or with zero the calling one, before the machine's ordinary work;
/// what it forks is ordinary again. Where the machine allows nobody that, nothing changes.
pub fn hurry(thread: i32) {
    let lowest: libc::c_int = 1;
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads one integer, which is live. The raw call, since not every C
    // library makes it.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, policy, &raw const lowest) };
}
