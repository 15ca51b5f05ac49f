//! Follows a block device down to the EBS volumes that it lies on, through partitions,
//! LVM, RAID, encryption, loop devices and the members of a btrfs.
//!
//! Reads sysfs below a folder that the caller names and nothing else: no device is
//! opened, no ioctl needs a privilege. A device that leads nowhere is not an error; the
//! volumes of its filesystem are then simply not known. So it is with the disks of Xen
//! instances: only EC2 knows which volume is attached as which of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mountinfo::Dev;
use crate::sys;

const EBS_MODEL: &str = "Amazon Elastic Block Store";
const INSTANCE_STORE_MODEL: &str = "Amazon EC2 NVMe Instance Storage";

/// Device stacks are a handful of layers; more is a circle.
const LAYERS_MAX: usize = 16;

/// What lies below a filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// EBS volume ids, in order.
    pub volumes: BTreeSet<String>,
    /// Whether a part of it is on an instance store, which no snapshot contains.
    pub instance_store: bool,
    /// Disks of the Xen kind (`xvdf`), which have no serial number to tell a volume by.
    pub xen: BTreeSet<String>,
    /// The files of the loop devices among the layers.
    pub files: BTreeSet<PathBuf>,
}

/// What lies below the filesystem with this superblock, type and source.
#[must_use]
pub fn below(sysfs: &Path, dev: Dev, fs: &str, source: &Path) -> Below {
    let mut found = Below::default();
    let mut seen = BTreeSet::new();
    if fs == "btrfs" {
        for member in btrfs_members(sysfs, source) {
            walk(sysfs, member, LAYERS_MAX, &mut seen, &mut found);
        }
    } else {
        walk(sysfs, dev, LAYERS_MAX, &mut seen, &mut found);
    }
    found
}

fn walk(sysfs: &Path, dev: Dev, layers: usize, seen: &mut BTreeSet<Dev>, found: &mut Below) {
    if layers == 0 || !seen.insert(dev) {
        return;
    }
    let numbers = sysfs.join("dev/block");
    let number = numbers.join(dev.to_string());
    // Its target ends in the device's name, and below that of its disk.
    let folder = fs::read_link(&number).map_or(number, |target| numbers.join(target));
    if let Some(model) = read(&folder.join("device/model")) {
        if model == INSTANCE_STORE_MODEL {
            found.instance_store = true;
            return;
        }
        let serial = read(&folder.join("device/serial"));
        if let Some(volume) = serial.filter(|_| model == EBS_MODEL).and_then(|s| volume_id(&s)) {
            found.volumes.insert(volume);
            return;
        }
    }
    if folder.join("partition").exists() {
        if let Some(dev) = folder.parent().and_then(device_number) {
            walk(sysfs, dev, layers - 1, seen, found);
        }
        return;
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    if let Some(disk) = name.filter(|name| name.starts_with("xvd")) {
        found.xen.insert(disk);
    }
    if let Some(file) = read(&folder.join("loop/backing_file")) {
        found.files.insert(PathBuf::from(file));
    }
    for slave in entries(&folder.join("slaves")) {
        if let Some(dev) = device_number(&slave) {
            walk(sysfs, dev, layers - 1, seen, found);
        }
    }
}

/// The devices of the btrfs that `source` is one device of.
fn btrfs_members(sysfs: &Path, source: &Path) -> Vec<Dev> {
    let wanted = fs::metadata(source).ok().map(|meta| split(meta.st_rdev()));
    entries(&sysfs.join("fs/btrfs"))
        .into_iter()
        .map(|fsid| {
            entries(&fsid.join("devices")).iter().filter_map(|d| device_number(d)).collect()
        })
        .find(|members: &Vec<Dev>| wanted.is_some_and(|dev| members.contains(&dev)))
        .unwrap_or_else(|| wanted.into_iter().collect())
}

fn split(rdev: u64) -> Dev {
    Dev { major: libc::major(rdev), minor: libc::minor(rdev) }
}

fn device_number(folder: &Path) -> Option<Dev> {
    read(&folder.join("dev")).and_then(|text| Dev::parse(&text))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn read(file: &Path) -> Option<String> {
    sys::read_told(file).ok().map(|text| text.trim().to_owned())
}

/// The serial number of an EBS volume is its id without the dash.
fn volume_id(serial: &str) -> Option<String> {
    let digits = serial.strip_prefix("vol")?.trim_start_matches('-');
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| format!("vol-{digits}"))
}
