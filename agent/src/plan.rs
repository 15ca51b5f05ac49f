//! Puts together what one hold freezes: the mount table, the volumes below it, the
//! caller's `--volumes`, and what has to stay writable for the post-script to arrive.
//!
//! Changes nothing; a dry-run is this and the applications' preflight. Every refusal
//! becomes exit code 206.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use crate::mountinfo::{Dev, Mount};
use crate::page::FILESYSTEMS_MAX;
use crate::targets::{self, Candidate, Skipped};
use crate::{mounts, volumes};

/// The SSM agent writes below these on every command, before a script of ours runs: if
/// they are frozen, no post-script can ever be delivered.
const NEEDED_BY_POST_SCRIPT: [&str; 4] =
    ["/run", "/run/stillpoint", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"];

/// One filesystem that will be frozen, open.
#[derive(Debug)]
pub struct Filesystem {
    /// Its superblock.
    pub dev: Dev,
    /// Its type.
    pub fs: String,
    /// The mount that it was opened through.
    pub mount: Mount,
    /// The EBS volumes below it, as far as they can be told.
    pub volumes: Vec<String>,
    /// How deep it lies on others; the deepest are frozen first.
    pub depth: usize,
    /// An open file on it, which keeps it mounted and is what is frozen and thawed.
    pub file: File,
}

/// What one hold freezes, and what it leaves out.
#[derive(Debug)]
pub struct Plan {
    /// The filesystems.
    pub filesystems: Vec<Filesystem>,
    /// Everything else.
    pub left_out: Vec<Skipped>,
    /// The mount table that it was made from.
    pub mounts: Vec<Mount>,
}

impl Plan {
    /// Whether a path is on one of the filesystems; if not, the mount point it is on.
    pub fn covers(&self, path: &Path) -> io::Result<Result<(), String>> {
        let (dev, point) = mounts::filesystem_of(path, &self.mounts)?;
        let covered = self.filesystems.iter().any(|filesystem| filesystem.dev == dev);
        Ok(if covered { Ok(()) } else { Err(point.display().to_string()) })
    }
}

/// Makes the plan; `sysfs` is where devices are looked up.
///
/// # Errors
/// Why no hold is possible, in a sentence.
pub fn make(sysfs: &Path, wanted: &[String]) -> Result<Plan, String> {
    let mounts = mounts::table().map_err(|error| format!("the mount table: {error}"))?;
    let (candidates, mut left_out) = targets::select(&mounts);
    let (mut chosen, mut below) = (Vec::new(), BTreeMap::new());
    for candidate in candidates {
        let under = under(sysfs, &candidate, &mounts);
        if let Some(dev) = under.outer {
            below.insert(candidate.dev, dev);
        }
        match judge(&candidate, &under, wanted)? {
            None => chosen.push((candidate, under.volumes)),
            Some(why) => left_out.push(Skipped { mount: candidate.name(), why, pseudo: false }),
        }
    }
    check_set(&chosen, &left_out, &mounts)?;
    let plain: Vec<Candidate> = chosen.iter().map(|(candidate, _)| candidate.clone()).collect();
    let depths = targets::depths(&plain, &mounts, &below);
    let filesystems = chosen
        .into_iter()
        .zip(depths)
        .map(|((candidate, volumes), depth)| {
            let (file, mount) = mounts::open(&candidate)?;
            let Candidate { dev, fs, .. } = candidate;
            Ok(Filesystem { dev, fs, mount, volumes: volumes.into_iter().collect(), depth, file })
        })
        .collect::<Result<Vec<Filesystem>, String>>()?;
    Ok(Plan { filesystems, left_out, mounts })
}

struct Under {
    volumes: BTreeSet<String>,
    instance_store: bool,
    outer: Option<Dev>,
}

/// What lies below a candidate, through the files of loop devices as well.
fn under(sysfs: &Path, candidate: &Candidate, all: &[Mount]) -> Under {
    let mut result = Under { volumes: BTreeSet::new(), instance_store: false, outer: None };
    let mut at = candidate.mounts.first().cloned();
    // A loop file on a loop file on ...: no deeper than the table is long.
    for _ in 0..all.len() {
        let Some(mount) = at.take() else { break };
        let below = volumes::below(sysfs, mount.dev, &mount.fs, Path::new(&mount.source));
        result.volumes.extend(below.volumes);
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

/// Why a candidate is left out, if it is.
fn judge(
    candidate: &Candidate,
    under: &Under,
    wanted: &[String],
) -> Result<Option<String>, String> {
    if under.instance_store {
        return Ok(Some("on an instance store, which no snapshot contains".into()));
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    if under.volumes.is_empty() {
        return Ok(Some("its volume cannot be told, and volumes were named".into()));
    }
    let outside: Vec<&str> =
        under.volumes.iter().filter(|id| !wanted.contains(id)).map(String::as_str).collect();
    if outside.len() == under.volumes.len() {
        return Ok(Some(format!("on {}, not in the snapshot", outside.join(", "))));
    }
    if outside.is_empty() {
        return Ok(None);
    }
    let name = candidate.name();
    Err(format!("{name} is also on {}, which would not be in the snapshot", outside.join(", ")))
}

fn check_set(
    chosen: &[(Candidate, BTreeSet<String>)],
    left_out: &[Skipped],
    mounts: &[Mount],
) -> Result<(), String> {
    if chosen.is_empty() {
        let out: Vec<String> = left_out
            .iter()
            .filter(|skipped| !skipped.pseudo)
            .map(|skipped| format!("{}: {}", skipped.mount, skipped.why))
            .collect();
        return Err(format!("there is no filesystem to freeze ({})", out.join("; ")));
    }
    if chosen.len() > FILESYSTEMS_MAX {
        let found = chosen.len();
        return Err(format!(
            "{found} filesystems to freeze, at most {FILESYSTEMS_MAX} are allowed"
        ));
    }
    for needed in NEEDED_BY_POST_SCRIPT {
        let Ok((dev, point)) = mounts::filesystem_of(Path::new(needed), mounts) else { continue };
        if chosen.iter().any(|(candidate, _)| candidate.dev == dev) {
            let point = point.display();
            return Err(format!("{point} carries {needed}, without which no post-script arrives"));
        }
    }
    Ok(())
}
