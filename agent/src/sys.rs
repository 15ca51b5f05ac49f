//! Every call to the kernel that the standard library does not offer, and all of the
//! `unsafe` of the agent but that of `pagecache` and `walk`.
//!
//! Each function is as thin as it can be and returns `io::Result`; nothing here knows
//! what a hold is. None of the functions that run between the first freeze and the
//! thaw allocates, opens or logs.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::AtomicU64;

const FIFREEZE: libc::Ioctl = 0xC004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

/// What `poll` takes and fills.
pub use libc::{POLLHUP, POLLIN, pollfd};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just returned this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Freezes the filesystem that `fd` is open on.
pub fn freeze(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: FIFREEZE ignores its argument; the descriptor is borrowed for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), FIFREEZE, 0) }).map(drop)
}

/// Thaws the filesystem that `fd` is open on.
pub fn thaw(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: FITHAW ignores its argument; the descriptor is borrowed for the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), FITHAW, 0) }).map(drop)
}

/// Writes out everything dirty of the filesystem that `fd` is open on.
pub fn syncfs(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: syncfs takes a descriptor and no memory.
    check(unsafe { libc::syncfs(fd.as_raw_fd()) }).map(drop)
}

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

/// Locks all present and future memory of this process.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mlockall takes flags and no memory.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}

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

/// Waits for a child to end.
pub fn wait_for(pid: libc::pid_t) -> io::Result<()> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a live integer of ours.
        match check(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
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

/// Maps a file of `words` eight-byte words into every process that is forked from here.
///
/// The mapping is never removed: a process ends with its hold.
pub fn map_words(file: &File, words: usize, writable: bool) -> io::Result<&'static [AtomicU64]> {
    let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
    let bytes = words * size_of::<AtomicU64>();
    if file.metadata()?.len() < bytes as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too short"));
    }
    // SAFETY: a fresh shared mapping at an address of the kernel's choice; the file was
    // just seen to be long enough and is only ever written through such mappings.
    let address = unsafe {
        let (at, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        libc::mmap(at, bytes, protection, libc::MAP_SHARED | libc::MAP_POPULATE, fd, 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is page-aligned, `words` long, lives until the process ends, and
    // is only reached through atomics. A read-only one is only loaded from.
    Ok(unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), words) })
}

fn whole_file_lock() -> libc::flock {
    // SAFETY: flock is plain integers, for which all-zero is valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(libc::F_WRLCK).unwrap_or(1);
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or(0);
    lock
}

/// Takes the lock of the open file, which forked processes then share, if nobody has it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    let lock = whole_file_lock();
    // SAFETY: the pointer is to a live flock of ours.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives the lock up, for every process that shares the open file.
pub fn unlock(file: &File) -> io::Result<()> {
    let mut lock = whole_file_lock();
    lock.l_type = libc::c_short::try_from(libc::F_UNLCK).unwrap_or(2);
    // SAFETY: the pointer is to a live flock of ours.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }).map(drop)
}

/// Tells whether somebody has the lock, without taking it.
pub fn is_locked(file: &File) -> io::Result<bool> {
    let mut lock = whole_file_lock();
    // SAFETY: the pointer is to a live flock of ours.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// A connected pair of sockets that keep message boundaries.
pub fn socket_pair() -> io::Result<(UnixStream, UnixStream)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the pointer is to two live integers; on success both are ours alone.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()))?;
        Ok((UnixStream::from_raw_fd(fds[0]), UnixStream::from_raw_fd(fds[1])))
    }
}

fn unix_address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: sockaddr_un is plain integers, for which all-zero is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or(1);
    let bytes = CString::new(path.as_os_str().as_bytes())?.into_bytes_with_nul();
    if bytes.len() > address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "socket path is too long"));
    }
    for (slot, byte) in address.sun_path.iter_mut().zip(bytes) {
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    Ok(address)
}

fn message_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes three integers.
    owned(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
}

/// The length of a kernel structure, as socket calls take it.
fn len_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Listens at a path, on a socket that keeps message boundaries.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (address, socket) = (unix_address(path)?, message_socket()?);
    // SAFETY: the address is live and its length is that of its type.
    unsafe {
        check(libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            len_of::<libc::sockaddr_un>(),
        ))?;
        check(libc::listen(socket.as_raw_fd(), 8))?;
    }
    Ok(UnixListener::from(socket))
}

/// Connects to such a listener.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (address, socket) = (unix_address(path)?, message_socket()?);
    // SAFETY: the address is live and its length is that of its type.
    check(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            len_of::<libc::sockaddr_un>(),
        )
    })?;
    Ok(UnixStream::from(socket))
}

/// The user at the other end, as the kernel knew it when the connection was made.
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = len_of::<libc::ucred>();
    // SAFETY: pointer and length are those of one live ucred.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    })?;
    Ok(peer.uid)
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

/// What an ordinary user could still write to the filesystem of a path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data, for which zeroes are a value.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a string with its terminator, the result has the kernel's size.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut found) })?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
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

/// Whether a path lies in memory, where no freeze and no full disk reaches it.
pub fn is_tmpfs(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statfs is plain integers, for which all-zero is valid; both pointers are live.
    let filesystem = unsafe {
        let mut filesystem: libc::statfs = std::mem::zeroed();
        check(libc::statfs(path.as_ptr(), &raw mut filesystem))?;
        filesystem
    };
    // Signed in one C library and unsigned in the other.
    Ok(i128::from(filesystem.f_type) == i128::from(libc::TMPFS_MAGIC))
}
