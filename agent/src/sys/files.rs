//! Calls on open filesystems and on paths.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

const FIFREEZE: libc::Ioctl = 0xC004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

/// The kernel tells no more than a page at a time.
const TOLD_BYTES_MAX: usize = 4 << 10;

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

/// Reads what the kernel makes up when it is asked, such as a file of sysfs: it is told in one piece,
/// and has no size to begin with.
pub fn read_told(path: impl AsRef<Path>) -> io::Result<String> {
    let mut piece = [0; TOLD_BYTES_MAX];
    let len = File::open(path)?.read(&mut piece)?;
    Ok(String::from_utf8_lossy(&piece[..len]).into_owned())
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

/// What an ordinary user could still write to the filesystem of a path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data, for which zeroes are a value.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a string with its terminator, the result has the kernel's size.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut found) })?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The id of the mount that a descriptor was opened through; none from a kernel before 5.8,
/// which tells it in `/proc` alone.
pub fn mount_id(fd: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    // SAFETY: statx is plain integers, for which all-zero is valid.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, wanted) = (libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC, libc::STATX_MNT_ID);
    // SAFETY: the path is a string with its terminator, the result has the kernel's size.
    check(unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, wanted, &raw mut found) })?;
    Ok((found.stx_mask & wanted != 0).then_some(found.stx_mnt_id))
}
