//! Locks of open files, which forked processes share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

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
