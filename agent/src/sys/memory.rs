//! Memory that is locked, and memory that processes share.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU64;

use super::check;

/// Locks all present and future memory of this process.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mlockall takes flags and no memory.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}

/// Locks what this process has touched of its memory, and whatever it touches from now on.
pub fn lock_touched_memory() -> io::Result<()> {
    // SAFETY: mlockall takes flags and no memory.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
        .map(drop)
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
