//! What a dry-run can honestly say of the stall: what is dirty now, what happens to it,
//! and what a freeze of clean filesystems costs.
//!
//! Not every kernel tells how much is dirty on one filesystem, so there may be two bounds, and each
//! says what it is.

use std::time::Duration;

use crate::mountinfo::Dev;
use crate::plan::Filesystem;
use crate::{backlog, dirty, flush, pagecache, rcu, sys, thaw};

const MEGABYTE: u64 = 1_000_000;

/// The forecast for these filesystems, line by line; changes nothing.
#[must_use]
pub fn lines(filesystems: &[Filesystem], rcu_allowed: bool, stall_budget: Duration) -> Vec<String> {
    let devs: Vec<Dev> = filesystems.iter().map(|one| one.dev).collect();
    let until_ns = sys::boottime_ns() + thaw::nanos(flush::LOOK_MAX);
    let files = dirty::open_files(&devs, &[], until_ns).into_iter().flatten();
    let known: Option<u64> = files.map(|file| pagecache::dirty_bytes(&file, 0, 0)).sum();
    let least = match known {
        Some(bytes) => format!("at least {} MB of it in files open here", bytes / MEGABYTE),
        None => "this kernel does not tell how much of it here".to_owned(),
    };
    let most = match backlog::of_devices(&devs) {
        Some(each) => format!("about {} MB on their devices", each.iter().sum::<u64>() / MEGABYTE),
        None => format!(
            "at most {} MB, which is the whole machine's (Dirty and Writeback of /proc/meminfo)",
            backlog::of_machine() / MEGABYTE
        ),
    };
    let cost = if rcu_allowed && rcu::is_available() {
        "1 to 10 ms with expedited RCU"
    } else {
        "30 to 60 ms without expedited RCU"
    };
    let mut lines = vec![
        format!("dirty now: {most}; {least}; it is written before the freeze, not during it"),
        format!(
            "predicted stall beyond the hold: {cost}, as measured on clean filesystems, and at \
             most {} ms for what writers leave behind the flush; beyond that a pre-script refuses",
            stall_budget.as_millis()
        ),
    ];
    if filesystems.iter().any(|one| one.fs == "xfs") {
        lines.push(
            "now and then xfs pauses in a freeze for 50 ms more (xfs_ail_push_all_sync), whoever \
             freezes it: about one in 30 freezes of 16 filesystems at once"
                .into(),
        );
    }
    lines
}
