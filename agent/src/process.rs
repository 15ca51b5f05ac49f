//! Turns a freshly forked process into one that nothing of its parent's can take down:
//! not its terminal, its pipes, its working directory, nor the OOM killer.

use std::env;
use std::fs::{self, OpenOptions};

use crate::sys;

/// The score that exempts a process from the OOM killer.
const OOM_EXEMPT: &str = "-1000";

/// Lets go of everything that came with the fork but the descriptors that are needed; what is forked
/// later inherits that.
///
/// SSM waits for a command's pipes to close, so they have to go. The rest is best
/// effort: without the capability for it, the sentinels still stand by.
pub(crate) fn detach(name: &str) {
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = sys::replace_stdio(&null);
    }
    let _ = env::set_current_dir("/");
    let _ = fs::write("/proc/self/oom_score_adj", OOM_EXEMPT);
    // It might be written to a filesystem that is frozen, and whoever waits for the end of the
    // process before it thaws would wait for that.
    sys::without_core_dump();
    part(name);
}

/// Leaves a process group, so that a kill of it takes no more than one of ours. There is no
/// terminal in the new one: none is opened, so none is got.
pub(crate) fn part(name: &str) {
    let _ = sys::new_session();
    sys::set_name(name);
}
