//! Opens mount points so that the descriptor is provably on the mount that was meant,
//! and tells which filesystem a path is on.
//!
//! A path that is not a mount point any more, or that another mount covers, would make
//! FIFREEZE freeze its parent; the mount id of the descriptor rules that out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::mountinfo::{self, Dev, Mount};
use crate::sys;
use crate::targets::Candidate;

/// The kernel tells the table anew for each piece that is asked for; most fit into one.
const TABLE_BYTES: usize = 16 << 10;

/// The mounts that this process sees.
pub fn table() -> io::Result<Vec<Mount>> {
    table_of(Path::new("/proc/self"))
}

/// The mounts that a process sees, by its folder in `/proc`.
pub fn table_of(process: &Path) -> io::Result<Vec<Mount>> {
    let mut text = Vec::with_capacity(TABLE_BYTES);
    File::open(process.join("mountinfo"))?.read_to_end(&mut text)?;
    Ok(mountinfo::parse(&text))
}

/// Opens a candidate through the first of its mounts that can be reached by its path,
/// and returns that mount as well.
pub fn open(candidate: &Candidate) -> Result<(File, Mount), String> {
    let mut refusals = Vec::new();
    for mount in &candidate.mounts {
        match open_mount(mount) {
            Ok(file) => return Ok((file, mount.clone())),
            Err(why) => refusals.push(format!("{}: {why}", mount.point.display())),
        }
    }
    Err(refusals.join("; "))
}

/// Opens one mount and checks that it is this mount.
pub fn open_mount(mount: &Mount) -> Result<File, String> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&mount.point)
        .map_err(|error| format!("cannot be opened: {error}"))?;
    match mount_id(&file) {
        Ok(id) if id == mount.id => Ok(file),
        Ok(_) => Err("another mount lies on top of it, or it is not mounted any more".into()),
        Err(error) => Err(format!("the mount of the open file cannot be told: {error}")),
    }
}

/// The superblock that a path is on, and its mount point.
pub fn filesystem_of(path: &Path, mounts: &[Mount]) -> io::Result<(Dev, PathBuf)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    let id = mount_id(&file)?;
    mounts
        .iter()
        .find(|mount| mount.id == id)
        .map(|mount| (mount.dev, mount.point.clone()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not in the table"))
}

fn mount_id(file: &File) -> io::Result<u64> {
    // Asked first since it costs a tenth.
    if let Ok(Some(id)) = sys::mount_id(file.as_fd()) {
        return Ok(id);
    }
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    info.lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))
        .and_then(|id| id.trim().parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "fdinfo has no mnt_id"))
}
