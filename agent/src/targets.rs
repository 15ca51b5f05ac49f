//! Decides from the mount table alone what a hold would freeze: one entry a
//! superblock, and for everything else the reason why it is left out.
//!
//! Pure. Volumes, `--volumes` and what the post-script needs are judged in `plan`.

use std::collections::BTreeMap;

use crate::mountinfo::{Dev, Mount};

/// Filesystems whose freeze the kernel implements and that live on a block device.
const FREEZABLE: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"];

const NETWORK: [&str; 11] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "lustre",
    "9p",
    "virtiofs",
    "afs",
    "glusterfs",
];

/// Kernel interfaces and memory: nothing of them is on a volume, so that a receipt need
/// not list them.
const PSEUDO: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// One filesystem that could be frozen, with every mount of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its superblock.
    pub dev: Dev,
    /// Its type.
    pub fs: String,
    /// Its mounts, those of the whole filesystem first.
    pub mounts: Vec<Mount>,
}

impl Candidate {
    /// The mount that stands for it in every message.
    #[must_use]
    pub fn name(&self) -> String {
        self.mounts.first().map(|mount| mount.point.display().to_string()).unwrap_or_default()
    }
}

/// A mount that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its mount point.
    pub mount: String,
    /// The reason.
    pub why: String,
    /// Whether nothing of it could be on a volume.
    pub pseudo: bool,
}

/// Sorts the mount table into what could be frozen and what is left out.
#[must_use]
pub fn select(mounts: &[Mount]) -> (Vec<Candidate>, Vec<Skipped>) {
    let root = mounts.iter().rfind(|mount| mount.point.as_os_str() == "/").map(|mount| mount.dev);
    let mut candidates: BTreeMap<Dev, Candidate> = BTreeMap::new();
    let mut skipped: BTreeMap<Dev, Skipped> = BTreeMap::new();
    for mount in mounts {
        match reason(mount, root) {
            Some((why, pseudo)) => {
                let name = || mount.point.display().to_string();
                skipped.entry(mount.dev).or_insert_with(|| Skipped { mount: name(), why, pseudo });
            }
            None => candidates
                .entry(mount.dev)
                .or_insert_with(|| Candidate {
                    dev: mount.dev,
                    fs: mount.fs.clone(),
                    mounts: Vec::new(),
                })
                .mounts
                .push(mount.clone()),
        }
    }
    let mut candidates: Vec<Candidate> = candidates.into_values().collect();
    for candidate in &mut candidates {
        candidate.mounts.sort_by_key(|mount| mount.root.as_os_str() != "/");
    }
    (candidates, skipped.into_values().collect())
}

/// Whether something can be dirty on it that a freeze would write out.
#[must_use]
pub fn is_freezable(mount: &Mount) -> bool {
    FREEZABLE.contains(&mount.fs.as_str()) && !mount.read_only
}

fn reason(mount: &Mount, root: Option<Dev>) -> Option<(String, bool)> {
    let fs = mount.fs.as_str();
    if Some(mount.dev) == root {
        return Some(("root filesystem".into(), false));
    }
    if PSEUDO.contains(&fs) {
        return Some((format!("{fs} is not on a volume"), true));
    }
    if NETWORK.contains(&fs) {
        return Some((format!("{fs} is a network filesystem"), false));
    }
    if fs == "fuse" || fs.starts_with("fuse.") || fs == "fuseblk" {
        return Some((format!("{fs} is a filesystem in user space"), false));
    }
    if !FREEZABLE.contains(&fs) {
        return Some((format!("{fs} has no freeze"), false));
    }
    if mount.read_only {
        return Some(("mounted read-only".into(), false));
    }
    None
}

/// For every candidate how deep it lies on others: a filesystem is frozen before all
/// those of a smaller depth, since freezing it still writes to what lies below.
///
/// `below` tells, for a candidate, the superblock that the file of its loop device is on.
#[must_use]
pub fn depths(candidates: &[Candidate], all: &[Mount], below: &BTreeMap<Dev, Dev>) -> Vec<usize> {
    let index_of = |dev: Dev| candidates.iter().position(|candidate| candidate.dev == dev);
    let lies_on = |nesting: bool| -> Vec<Vec<usize>> {
        candidates
            .iter()
            .map(|candidate| {
                let backing = below.get(&candidate.dev).copied();
                let parents = if nesting { ancestors(candidate, all) } else { Vec::new() };
                backing
                    .into_iter()
                    .chain(parents)
                    .filter(|dev| *dev != candidate.dev)
                    .filter_map(index_of)
                    .collect()
            })
            .collect()
    };
    // Mounts may be arranged in a circle, with a filesystem mounted inside itself. Loop
    // files cannot, and theirs is the order that a freeze can hang on.
    settle(&lies_on(true))
        .or_else(|| settle(&lies_on(false)))
        .unwrap_or_else(|| vec![0; candidates.len()])
}

/// Longest path from the bottom, or `None` when there is a circle.
fn settle(lies_on: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut depths = vec![0; lies_on.len()];
    for _ in 0..=lies_on.len() {
        let next: Vec<usize> = lies_on
            .iter()
            .map(|below| below.iter().map(|&index| depths[index] + 1).max().unwrap_or(0))
            .collect();
        if next == depths {
            return Some(depths);
        }
        depths = next;
    }
    None
}

fn ancestors(candidate: &Candidate, all: &[Mount]) -> Vec<Dev> {
    let mut devs = Vec::new();
    let mut at = candidate.mounts.first().map(|mount| mount.parent);
    // No chain of parents is longer than the table.
    for _ in 0..all.len() {
        let Some(mount) = at.and_then(|id| all.iter().find(|mount| mount.id == id)) else {
            break;
        };
        devs.push(mount.dev);
        at = Some(mount.parent).filter(|&parent| parent != mount.id);
    }
    devs
}
