//! Saving all of a server's data to its dump.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::apps::redis::info::Info;
use crate::apps::redis::wire::{Failure, Session};
use crate::apps::redis::{POLL, info};

/// A save that takes no longer may be repeated while writes are paused.
pub(super) const QUICK: Duration = Duration::from_millis(300);
/// What one under the pause may take; then the one before it has to do.
const PAUSED_PATIENCE: Duration = Duration::from_millis(900);

/// Why it did not come about.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server, or the connection.
    Failed(Failure),
    /// It took too long.
    Late,
    /// The server could not save.
    Unsaved,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(failure) => write!(out, "{failure}"),
            Self::Late => out.write_str("it did not finish saving in time"),
            Self::Unsaved => out.write_str("it cannot save; its own log says why"),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Waits until the server is as wanted.
pub(super) fn wait(
    session: &mut Session,
    until: Instant,
    wanted: impl Fn(&Info) -> bool,
) -> Result<Info, Trouble> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let now = info(session, left)?;
        if wanted(&now) {
            return Ok(now);
        }
        if left.is_zero() {
            return Err(Trouble::Late);
        }
        std::thread::sleep(POLL);
    }
}

/// Saves, and tells how long that took. One that was under way must have ended before.
pub(super) fn save(session: &mut Session, until: Instant) -> Result<Duration, Trouble> {
    let begun = Instant::now();
    let left = until.saturating_duration_since(begun);
    session.ask(&["BGSAVE"], left)?;
    let now = wait(session, until, |now| !now.is_on("rdb_bgsave_in_progress"))?;
    // BGSAVE answers when it has begun; this is how it ended.
    if now.text("rdb_last_bgsave_status") != "ok" {
        return Err(Trouble::Unsaved);
    }
    Ok(begun.elapsed())
}

/// Saves what has changed since, with writes paused, if that is quick.
pub(super) fn again(
    session: &mut Session,
    is_quick: bool,
    budget: Duration,
) -> Result<Info, Trouble> {
    let now = info(session, budget)?;
    if !is_quick || !now.is_on("rdb_changes_since_last_save") {
        return Ok(now);
    }
    match save(session, Instant::now() + budget.min(PAUSED_PATIENCE)) {
        Ok(_) | Err(Trouble::Late) => Ok(info(session, budget)?),
        Err(other) => Err(other),
    }
}

/// How long the append-only file is: one file, or all of a folder but the list of them.
pub(super) fn appended(log: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let Ok(files) = fs::read_dir(log) else { return size(log) };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    paths
        .filter(|path| path.extension().is_none_or(|end| end != "manifest"))
        .map(|path| size(&path))
        .sum()
}

/// What is in the dump.
pub(super) fn position(now: &Info) -> String {
    let missing = now.number("rdb_changes_since_last_save");
    let at = now.text("rdb_last_save_time");
    if missing == 0 {
        format!("rdb of {at}")
    } else {
        format!("rdb of {at}, {missing} changes since are not in it")
    }
}
