//! Puts together what one hold freezes: the mount table, the volumes below it, the
//! caller's `--volumes`, and what has to stay writable for the post-script to arrive.
//!
//! Changes nothing; a dry-run is this and the applications' preflight. Every refusal
//! becomes exit code 206.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;

use crate::beneath::{self, Under, under};
use crate::config::{Config, Unfreezable};
use crate::mountinfo::{Dev, Mount};
use crate::page::FILESYSTEMS_MAX;
use crate::targets::{self, Candidate, Skipped};
use crate::unfreezable::{self, Needed};
use crate::{log, mounts};

/// One filesystem that will be frozen or flushed, open.
#[derive(Debug)]
pub struct Filesystem {
    /// Its superblock.
    pub dev: Dev,
    /// Its type.
    pub fs: String,
    /// The mount that it was opened through.
    pub mount: Mount,
    /// The EBS volumes below it, as far as they can be told, of which no other part stays
    /// writable.
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
    /// Those that are flushed and not frozen.
    pub flushed: Vec<Filesystem>,
    /// Everything else.
    pub left_out: Vec<Skipped>,
    /// The mount table that it was made from.
    pub mounts: Vec<Mount>,
}

/// What a hold does to the place where a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    /// It is frozen.
    Frozen,
    /// It is flushed.
    Flushed,
    /// Nothing; it is on this mount point.
    Outside(String),
}

impl Plan {
    /// What the hold does to the place where a path is.
    pub fn covers(&self, path: &Path) -> io::Result<Cover> {
        let (dev, point) = mounts::filesystem_of(path, &self.mounts)?;
        let among = |list: &[Filesystem]| list.iter().any(|filesystem| filesystem.dev == dev);
        Ok(match (among(&self.filesystems), among(&self.flushed)) {
            (true, _) => Cover::Frozen,
            (false, true) => Cover::Flushed,
            (false, false) => Cover::Outside(point.display().to_string()),
        })
    }
}

/// Candidates with the volumes below them.
pub type Chosen = Vec<(Candidate, BTreeSet<String>)>;

/// Makes the plan; `sysfs` is where devices are looked up.
///
/// # Errors
/// Why no hold is possible, in a sentence.
pub fn make(sysfs: &Path, wanted: &[String], config: &Config) -> Result<Plan, String> {
    let mounts = mounts::table().map_err(|error| format!("the mount table: {error}"))?;
    let (candidates, mut left_out) = targets::select(&mounts);
    let (mut chosen, mut below) = (Vec::new(), BTreeMap::new());
    for candidate in candidates {
        let under = look_under(sysfs, &candidate, &mounts);
        if let Some(dev) = under.outer {
            below.insert(candidate.dev, dev);
        }
        match judge(&candidate, &under, wanted, config)? {
            None => chosen.push((candidate, under.volumes)),
            Some(why) => left_out.push(Skipped { mount: candidate.name(), why, pseudo: false }),
        }
    }
    let (needed, mut flushed) = (unfreezable::needed(&mounts), Vec::new());
    if config.unfreezable == Unfreezable::Flush {
        for (candidate, why) in unfreezable::take(&mut chosen, &mounts, &needed) {
            let under = look_under(sysfs, &candidate, &mounts);
            let mount = candidate.name();
            left_out.retain(|skipped| skipped.mount != mount);
            let out = judge(&candidate, &under, wanted, config).unwrap_or_else(Some);
            let why = out.clone().unwrap_or(format!("{}: {why}", unfreezable::FLUSHED));
            // First of all: a receipt that is too long is cut from the end.
            left_out.insert(0, Skipped { mount, why, pseudo: false });
            if out.is_none() {
                flushed.push(open(candidate, BTreeSet::new(), 0)?);
            }
        }
    }
    for point in config.leave_out.iter().filter(|point| !mounts.iter().any(|m| m.point == **point))
    {
        log::line(&format!("agent.toml leaves out {}, where nothing is mounted", point.display()));
    }
    check_set(&chosen, &left_out, &needed, flushed.is_empty())?;
    let plain: Vec<Candidate> = chosen.iter().map(|(candidate, _)| candidate.clone()).collect();
    let depths = targets::depths(&plain, &mounts, &below);
    let filesystems = chosen
        .into_iter()
        .zip(depths)
        .map(|((candidate, volumes), depth)| open(candidate, volumes, depth))
        .collect::<Result<Vec<Filesystem>, String>>()?;
    let mut plan = Plan { filesystems, flushed, left_out, mounts };
    plan.withhold(sysfs);
    Ok(plan)
}

fn open(
    candidate: Candidate,
    volumes: BTreeSet<String>,
    depth: usize,
) -> Result<Filesystem, String> {
    let (file, mount) = mounts::open(&candidate)?;
    let Candidate { dev, fs, .. } = candidate;
    Ok(Filesystem { dev, fs, mount, volumes: volumes.into_iter().collect(), depth, file })
}

/// What lies below a candidate, with a word to the log where that cannot be told.
fn look_under(sysfs: &Path, candidate: &Candidate, mounts: &[Mount]) -> Under {
    let found = candidate.mounts.first().map(|mount| under(sysfs, mount, mounts));
    let found = found.unwrap_or_default();
    for disk in &found.xen {
        let name = candidate.name();
        log::line(&format!(
            "{name} is on {disk}: a Xen disk has no serial number, its volume cannot be told"
        ));
    }
    found
}

impl Plan {
    /// Lets go of volumes that are written to by way of mounts which are not frozen.
    fn withhold(&mut self, sysfs: &Path) {
        let frozen: Vec<Dev> = self.filesystems.iter().map(|one| one.dev).collect();
        let writable = beneath::writable(sysfs, &frozen, &self.mounts);
        for filesystem in &mut self.filesystems {
            filesystem.volumes.retain(|volume| {
                let other = writable.get(volume);
                if let Some(other) = other {
                    let name = filesystem.mount.point.display();
                    log::line(&format!(
                        "{volume} carries {name}, and {other}, which is not frozen: it does not \
                         count as frozen"
                    ));
                }
                other.is_none()
            });
        }
    }
}

/// Why a candidate is left out, if it is.
fn judge(
    candidate: &Candidate,
    under: &Under,
    wanted: &[String],
    config: &Config,
) -> Result<Option<String>, String> {
    if candidate.mounts.iter().any(|mount| config.leave_out.contains(&mount.point)) {
        return Ok(Some("left out by agent.toml".into()));
    }
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
    needed: &Needed,
    is_all: bool,
) -> Result<(), String> {
    if chosen.is_empty() && is_all {
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
    for (candidate, _) in chosen {
        if let Some((_, point, path)) = needed.iter().find(|(dev, ..)| *dev == candidate.dev) {
            let point = point.display();
            return Err(format!("{point} carries {path}, without which no post-script arrives"));
        }
    }
    Ok(())
}
