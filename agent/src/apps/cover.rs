//! Whether all that an application writes to is in the hold: frozen or flushed, all of
//! it alike, and with room left. A volume with half of a database would be taken for the
//! whole.

use std::path::PathBuf;

use crate::plan::{Cover, Plan};
use crate::sys;

/// A server that cannot write this much any more cannot be quiesced either: a checkpoint
/// or a dump would fail half-way.
const FREE_BYTES_MIN: u64 = 1 << 20;

/// Checks every folder that an application writes to, the data directory first.
///
/// # Errors
/// Which of them is not covered, in a sentence.
pub fn check(plan: &Plan, folders: &[PathBuf]) -> Result<(), String> {
    let mut first = None;
    for folder in folders {
        let name = folder.display();
        let cover = plan.covers(folder).map_err(|error| format!("{name}: {error}"))?;
        match (&cover, &first) {
            (Cover::Outside(mount), _) => {
                return Err(format!("{name} is on {mount}, which would not be frozen"));
            }
            (_, Some(other)) if *other != cover => {
                return Err(format!(
                    "{name} is on a filesystem that would be {}, unlike the data directory",
                    if cover == Cover::Frozen { "frozen" } else { "flushed" }
                ));
            }
            _ => {}
        }
        first.get_or_insert(cover);
        let free = sys::free_bytes(folder).map_err(|error| format!("{name}: {error}"))?;
        if free < FREE_BYTES_MIN {
            return Err(format!("{name} is on a full filesystem, {free} bytes are free"));
        }
    }
    Ok(())
}
