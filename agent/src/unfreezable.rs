//! The filesystems that must not be frozen: the root, and those without which no
//! post-script arrives. They are refused, or flushed where the settings allow it.
//!
//! Pure but for looking up which filesystem a path is on. What else is frozen is decided
//! in `plan`.

use std::path::{Path, PathBuf};

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

/// What the post-script needs: for each of it the filesystem that it is on, that one's mount
/// point, and its path.
pub type Needed = Vec<(Dev, PathBuf, &'static str)>;

/// Looks up what the post-script needs.
#[must_use]
pub fn needed(mounts: &[Mount]) -> Needed {
    let found = NEEDED_BY_POST_SCRIPT.into_iter().filter_map(|path| {
        let (dev, point) = mounts::filesystem_of(Path::new(path), mounts).ok()?;
        Some((dev, point, path))
    });
    found.collect()
}

/// Takes those out of the set that must not be frozen, adds the root, and tells why.
pub fn take(chosen: &mut Chosen, mounts: &[Mount], needed: &Needed) -> Vec<(Candidate, String)> {
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
    chosen.retain(|(candidate, _)| {
        let carries = needed.iter().find(|(dev, ..)| *dev == candidate.dev);
        if let Some((_, _, path)) = carries {
            taken.push((candidate.clone(), format!("carries {path}")));
        }
        carries.is_none()
    });
    taken
}
