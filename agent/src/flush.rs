//! Writes out what is dirty before the freeze, so that the freeze itself has nothing to
//! write: passes of `syncfs` over all filesystems at once, until a pass is short.

use std::fs::File;
use std::time::Duration;

use crate::crew::{Crew, Order};
use crate::sys;
use crate::thaw;

/// A pass this short leaves less behind than one freeze costs anyway.
const SHORT: Duration = Duration::from_millis(20);

/// Passes shrink by the ratio of writers' to the device's speed; more do not help.
const PASSES_MAX: usize = 8;

/// Whether another pass is worth its time. Pure.
///
/// From the third pass on a pass has to be clearly shorter than the one before: near
/// saturation they do not shrink, and the rest has to be written under the freeze.
#[must_use]
pub fn another(passes: &[Duration], left: Duration) -> bool {
    match passes {
        [] => true,
        _ if passes.len() >= PASSES_MAX => false,
        [.., last] if *last < SHORT || *last > left => false,
        [.., before, last] if passes.len() > 2 => *last * 10 < *before * 9,
        _ => true,
    }
}

/// Flushes until a pass is short or `until_ns` has come; the passes that it took, or
/// the index of a filesystem that did not finish or failed, with the error number.
pub fn run(
    crew: &Crew,
    count: usize,
    done: &File,
    until_ns: u64,
) -> Result<Vec<Duration>, (usize, i32)> {
    let mut passes = Vec::new();
    loop {
        let left = Duration::from_nanos(until_ns.saturating_sub(sys::boottime_ns()));
        if !another(&passes, left) {
            return Ok(passes);
        }
        for index in 0..count {
            crew.order(index, Order::Flush);
        }
        while let Some(index) = (0..count).find(|&index| crew.is_busy(index)) {
            if sys::boottime_ns() >= until_ns {
                return Err((index, 0));
            }
            thaw::wait(done, Duration::from_millis(20));
        }
        if let Some(index) = (0..count).find(|&index| crew.errno(index) != 0) {
            return Err((index, crew.errno(index)));
        }
        let slowest = (0..count).map(|index| crew.took_ns(index)).max().unwrap_or(0);
        passes.push(Duration::from_nanos(slowest));
    }
}
