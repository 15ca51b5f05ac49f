//! What lies below a mount, through the files of loop devices as well, and which volumes
//! can be vouched for by what is frozen on them.
//!
//! Reads sysfs and looks up paths. `volumes` follows one device, this whole stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::mountinfo::{Dev, Mount};
use crate::{mounts, volumes};

/// What lies below a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Under {
    /// EBS volumes.
    pub volumes: BTreeSet<String>,
    /// Whether a part of it is on an instance store.
    pub instance_store: bool,
    /// Disks of the Xen kind, whose volumes cannot be told.
    pub xen: BTreeSet<String>,
    /// The filesystem that the file of its loop device is on.
    pub outer: Option<Dev>,
}

/// What lies below a mount of the table.
#[must_use]
pub fn under(sysfs: &Path, first: &Mount, all: &[Mount]) -> Under {
    let mut result = Under::default();
    let mut at = Some(first.clone());
    // A loop file on a loop file on ...: no deeper than the table is long.
    for _ in 0..all.len() {
        let Some(mount) = at.take() else { break };
        let below = volumes::below(sysfs, mount.dev, &mount.fs, Path::new(&mount.source));
        result.volumes.extend(below.volumes);
        result.xen.extend(below.xen);
        result.instance_store |= below.instance_store;
        let outer = below
            .files
            .iter()
            .find_map(|file| mounts::filesystem_of(file, all).ok())
            .filter(|(dev, _)| *dev != mount.dev);
        if let Some((dev, _)) = outer {
            result.outer = result.outer.or(Some(dev));
            at = all.iter().find(|mount| mount.dev == dev).cloned();
        }
    }
    result
}

/// Volumes that are written to by way of a mount which is not frozen, with that mount
/// point: what else is frozen on them, they are not as a whole.
#[must_use]
pub fn writable(sysfs: &Path, frozen: &[Dev], all: &[Mount]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut seen: BTreeSet<Dev> = frozen.iter().copied().collect();
    // A filesystem without a device of its own is on no volume, except for btrfs.
    let on_disk = |mount: &&Mount| mount.dev.major != 0 || mount.fs == "btrfs";
    for mount in all.iter().filter(on_disk).filter(|mount| !mount.read_only) {
        if seen.insert(mount.dev) {
            for volume in under(sysfs, mount, all).volumes {
                found.entry(volume).or_insert_with(|| mount.point.display().to_string());
            }
        }
    }
    found
}
