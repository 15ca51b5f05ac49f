//! The filesystems that must not be frozen: the root, and those without which no
//! post-script arrives. They are refused, or flushed where the settings allow it.
//!
//! Pure but for looking up which filesystem a path is on. What else is frozen is decided
//! in `plan`.

use std::path::Path;

use crate::mountinfo::{Dev, Mount};
use crate::mounts;
use crate::plan::Chosen;
use crate::targets::{self, Candidate};

/// The SSM agent writes below these on every command, before a script of ours runs: if
/// they are frozen, no post-script can ever be delivered.
const NEEDED_BY_POST_SCRIPT: [&str; 4] =
    ["/run", "/run/stillpoint", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"];

/// The first words of the reason that a receipt gives for what is flushed instead.
pub const FLUSHED: &str = "flushed, not frozen";

/// What the post-script needs of a filesystem, with the mount point that it is at.
#[must_use]
pub fn needed(dev: Dev, mounts: &[Mount]) -> Option<(String, &'static str)> {
    NEEDED_BY_POST_SCRIPT.into_iter().find_map(|needed| {
        let (found, point) = mounts::filesystem_of(Path::new(needed), mounts).ok()?;
        (found == dev).then(|| (point.display().to_string(), needed))
    })
}

/// Takes those out of the set that must not be frozen, adds the root, and tells why.
pub fn take(chosen: &mut Chosen, mounts: &[Mount]) -> Vec<(Candidate, String)> {
    let root = mounts.iter().rfind(|mount| mount.point.as_os_str() == "/");
    let mut taken: Vec<(Candidate, String)> = root
        .filter(|root| targets::is_freezable(root))
        .map(|root| {
            let mounts = vec![root.clone()];
            let root = Candidate { dev: root.dev, fs: root.fs.clone(), mounts };
            (root, "root filesystem".into())
        })
        .into_iter()
        .collect();
    chosen.retain(|(candidate, _)| match needed(candidate.dev, mounts) {
        Some((_, needed)) => {
            taken.push((candidate.clone(), format!("carries {needed}")));
            false
        }
        None => true,
    });
    taken
}
