//! Finds the files whose data waits to be written, on filesystems that are about to be
//! frozen: those that some process has open.
//!
//! What it misses (mappings) is left to `syncfs`, and files that were closed to `walk`. It never
//! touches a file of another filesystem: where an open file lies is asked of `/proc`
//! alone, since a `stat` on a dead network mount does not return. Called before the
//! first freeze only.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::mountinfo::{Dev, Mount};
use crate::{mounts, pagecache, sys};

/// Less than this in one file is as well written by `syncfs`.
pub const FILE_WORTH_BYTES: u64 = 256 << 10;

/// What is kept open at a time; the rest is found by the next look.
const FILES_MAX: usize = 256;

/// The dirty open files of each filesystem, as far as they are found until `until_ns`. Processes
/// that are `ours` are passed over: each has every filesystem open, and nothing to write.
#[must_use]
pub fn open_files(devs: &[Dev], ours: &[u32], until_ns: u64) -> Vec<Vec<File>> {
    let table = mounts::table().unwrap_or_default();
    let mut search = Search {
        devs,
        mounts: HashMap::new(),
        here: Here::look(devs, &table),
        seen: HashSet::new(),
        found: Vec::new(),
        count: 0,
    };
    search.found.resize_with(devs.len(), Vec::new);
    let is_process = |path: &PathBuf| {
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        id.is_some_and(|id: u32| !ours.contains(&id))
    };
    let processes: Vec<(PathBuf, PathBuf)> = entries(Path::new("/proc"))
        .filter(is_process)
        .map(|process| (fs::read_link(process.join("ns/mnt")).unwrap_or_default(), process))
        .collect();
    // A container's mounts are in a table of its own, under the same device numbers. All
    // tables come first: a descriptor may be of another process's.
    search.add_mounts(&table);
    let mut spaces = HashSet::from([search.here.space.clone()]);
    for (space, process) in &processes {
        if spaces.insert(space.clone()) {
            search.add_mounts(&mounts::table_of(process).unwrap_or_default());
        }
    }
    for (space, process) in &processes {
        for link in entries(&process.join("fd")) {
            if search.count >= FILES_MAX || sys::boottime_ns() >= until_ns {
                return search.found;
            }
            search.look(process, &link, space);
        }
    }
    search.found
}

struct Search<'a> {
    devs: &'a [Dev],
    /// The filesystem of each mount, by the mount's id.
    mounts: HashMap<u64, usize>,
    here: Here,
    /// One file is often open in many processes.
    seen: HashSet<(PathBuf, PathBuf)>,
    found: Vec<Vec<File>>,
    count: usize,
}

/// What the paths of open files say by themselves: those of the processes that see the same
/// mounts as this one.
struct Here {
    space: PathBuf,
    /// Where the filesystems are mounted, and whether that is all of them, and so a folder.
    points: Vec<(PathBuf, bool)>,
}

impl Here {
    fn look(devs: &[Dev], table: &[Mount]) -> Self {
        let points = table
            .iter()
            .filter(|mount| devs.contains(&mount.dev))
            .map(|mount| (mount.point.clone(), mount.root.as_os_str() == "/"))
            .collect();
        Self { space: fs::read_link("/proc/self/ns/mnt").unwrap_or_default(), points }
    }

    /// Whether the path alone tells that there is nothing to write: it is elsewhere, or a mount
    /// point itself, as each process of a hold has them open.
    fn rules_out(&self, path: &Path, space: &Path) -> bool {
        let is_folder = |(point, is_all): &(PathBuf, bool)| *is_all && point == path;
        space == self.space
            && (!self.points.iter().any(|(point, _)| path.starts_with(point))
                || self.points.iter().any(is_folder))
    }
}

impl Search<'_> {
    fn add_mounts(&mut self, table: &[Mount]) {
        for mount in table {
            if let Some(index) = self.devs.iter().position(|dev| *dev == mount.dev) {
                self.mounts.insert(mount.id, index);
            }
        }
    }

    fn look(&mut self, process: &Path, link: &Path, space: &Path) {
        let Ok(path) = fs::read_link(link) else { return };
        // Sockets and pipes have no such path, and devices have no data of their own.
        if !path.is_absolute() || path.starts_with("/dev") || self.here.rules_out(&path, space) {
            return;
        }
        let number = link.file_name().unwrap_or_default();
        let Some(&index) = mount_id(&process.join("fdinfo").join(number))
            .and_then(|mount| self.mounts.get(&mount))
        else {
            return;
        };
        if !self.seen.insert((space.to_owned(), path)) {
            return;
        }
        if let Some(file) = open_regular(link)
            && pagecache::dirty_bytes(&file, 0, 0).is_none_or(|bytes| bytes >= FILE_WORTH_BYTES)
        {
            self.found[index].push(file);
            self.count += 1;
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn mount_id(fdinfo: &Path) -> Option<u64> {
    let mut text = [0; 256];
    let len = File::open(fdinfo).ok()?.read(&mut text).ok()?;
    std::str::from_utf8(&text[..len])
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))?
        .trim()
        .parse()
        .ok()
}

/// Opens what a link of `/proc` stands for, if it is a regular file; a pipe that were
/// opened would be seen at its other end.
fn open_regular(link: &Path) -> Option<File> {
    let plain = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(link).ok()?;
    if !plain.metadata().ok()?.is_file() {
        return None;
    }
    let again = format!("/proc/self/fd/{}", plain.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(again).ok()
}
