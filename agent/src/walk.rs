//! Finds files that were written a moment ago and closed again, by looking through a
//! filesystem for a short time, the upper folders first.
//!
//! It stays on that very mount: what is mounted below may never answer. On a kernel that
//! cannot promise this, before 5.6, it finds nothing, and `syncfs` writes those files.
#![expect(unsafe_code, reason = "a system call without a wrapper in the standard library")]

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::dirty::FILE_WORTH_BYTES;
use crate::{pagecache, sys};

/// The kernel writes what is older than half a minute by itself, if the device is fast
/// enough. A wall clock that was set makes this miss files, which is not worse than that.
const RECENT: Duration = Duration::from_secs(120);

/// What is kept open at a time.
const FILES_MAX: usize = 64;

const RESOLVE_NO_XDEV: u64 = 0x01;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;

#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens a path below an open folder, on the same mount.
fn open(root: &File, path: &Path, flags: libc::c_int) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = u64::try_from(flags | libc::O_CLOEXEC).unwrap_or(0);
    let how = How { flags, mode: 0, resolve: RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
    // SAFETY: both pointers are live, and the size is that of the structure.
    let fd = unsafe {
        let (number, root) = (libc::SYS_openat2, root.as_raw_fd());
        libc::syscall(number, root, path.as_ptr(), &raw const how, size_of::<How>())
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just returned this descriptor.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The dirty files that were changed lately, as far as they are found until `until_ns`.
#[must_use]
pub fn recent_files(root: &File, until_ns: u64) -> Vec<File> {
    let since = SystemTime::now().checked_sub(RECENT).unwrap_or(SystemTime::UNIX_EPOCH);
    let (mut found, mut folders) = (Vec::new(), VecDeque::from([PathBuf::from(".")]));
    while let Some(folder) = folders.pop_front() {
        let Ok(open_folder) = open(root, &folder, libc::O_RDONLY | libc::O_DIRECTORY) else {
            continue;
        };
        let list = format!("/proc/self/fd/{}", open_folder.as_raw_fd());
        for entry in fs::read_dir(list).into_iter().flatten().flatten() {
            if found.len() >= FILES_MAX || sys::boottime_ns() >= until_ns {
                return found;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push_back(folder.join(entry.file_name())),
                Ok(kind) if kind.is_file() => {
                    let name = PathBuf::from(entry.file_name());
                    found.extend(open_recent(&open_folder, &name, since));
                }
                _ => {}
            }
        }
    }
    found
}

fn open_recent(folder: &File, name: &Path, since: SystemTime) -> Option<File> {
    let meta = open(folder, name, libc::O_PATH).ok()?.metadata().ok()?;
    if !meta.is_file() || meta.len() < FILE_WORTH_BYTES || meta.modified().ok()? < since {
        return None;
    }
    let file = open(folder, name, libc::O_RDONLY | libc::O_NONBLOCK).ok()?;
    let worth = pagecache::dirty_bytes(&file, 0, 0).is_none_or(|bytes| bytes >= FILE_WORTH_BYTES);
    worth.then_some(file)
}
