//! The page cache of one file: how much of it is dirty, and writing it out in pieces.
//!
//! The kernel's own `syncfs` hands a device everything at once, and every other writer's
//! fsync then waits behind all of it. Which files to write is found by `dirty`, when to
//! stop is decided in `flush`.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::pace::Pace;

/// At gp3's baseline of 125 MB/s a piece takes eight milliseconds; two are on their way
/// at a time, so that the device never runs dry between them.
const PIECE_BYTES: u64 = 1 << 20;

/// A stretch without dirty pages is passed over with one call.
const STRETCH_BYTES: u64 = 64 << 20;

const PAGE_BYTES: u64 = 4_096;

/// The same number on every architecture; the libc crate has no name for it.
const SYS_CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Stat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How many bytes of a part of a file wait to be written; `None` where the kernel cannot
/// tell, before 6.5. A length of zero means to the end.
#[must_use]
pub fn dirty_bytes(file: &File, offset: u64, len: u64) -> Option<u64> {
    let (range, mut stat) = (Range { offset, len }, Stat::default());
    // SAFETY: both pointers are to live structures of the kernel's layout.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0)
    };
    (result == 0).then_some((stat.dirty + stat.writeback) * PAGE_BYTES)
}

fn sync_range(file: &File, offset: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: sync_file_range takes a descriptor and integers, and no memory.
    let result = unsafe {
        libc::syscall(libc::SYS_sync_file_range, file.as_raw_fd(), offset, PIECE_BYTES, flags)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Writes the data of one file, piece after piece, at a pace and as long as there is time.
///
/// # Errors
/// What the device or the filesystem said.
pub fn write_out(file: &File, pace: &mut Pace) -> io::Result<()> {
    let len = file.metadata()?.len();
    let (mut at, mut before) = (0, None);
    while at < len && pace.goes_on() {
        if at % STRETCH_BYTES == 0 && dirty_bytes(file, at, STRETCH_BYTES) == Some(0) {
            at += STRETCH_BYTES;
            continue;
        }
        let piece = if pace.is_spread() { dirty_bytes(file, at, PIECE_BYTES) } else { None };
        if piece == Some(0) {
            at += PIECE_BYTES;
            continue;
        }
        sync_range(file, at, libc::SYNC_FILE_RANGE_WRITE)?;
        if let Some(before) = before.replace(at) {
            sync_range(file, before, libc::SYNC_FILE_RANGE_WAIT_BEFORE)?;
        }
        at += PIECE_BYTES;
        pace.wrote(piece.unwrap_or(PIECE_BYTES));
    }
    match before {
        Some(last) => sync_range(file, last, libc::SYNC_FILE_RANGE_WAIT_BEFORE),
        None => Ok(()),
    }
}
