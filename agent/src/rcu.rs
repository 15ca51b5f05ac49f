//! The kernel's switch for expedited RCU grace periods.
//!
//! A freeze waits for about three grace periods, 30 to 60 ms in all, while writers are
//! already held; with the switch on it takes less than one. It belongs to the whole
//! system, so it is on for the freezes alone, and whoever ends the hold turns it off.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;

use crate::page::Page;

const SWITCH: &str = "/sys/kernel/rcu_expedited";

/// The switch, opened before anything is frozen.
#[derive(Debug)]
pub struct Rcu {
    file: Option<File>,
    page: Page,
}

impl Rcu {
    /// Opens the switch. Where it is on already, cannot be opened, or is not ours to use by
    /// the settings, it is left alone.
    #[must_use]
    pub fn open(page: Page, allowed: bool) -> Self {
        let open = || OpenOptions::new().read(true).write(true).open(SWITCH).ok();
        let mut file = allowed.then(open).flatten();
        let mut value = String::new();
        if let Some(open) = &mut file
            && (open.read_to_string(&mut value).is_err() || value.trim() != "0")
        {
            file = None;
        }
        Self { file, page }
    }

    /// Opens the switch to turn it off, where a hold that is no more has left it on.
    #[must_use]
    pub fn open_noted(page: Page) -> Self {
        let wanted = page.is_expedited();
        let open = || OpenOptions::new().write(true).open(SWITCH).ok();
        Self { file: wanted.then(open).flatten(), page }
    }

    /// Turns it on.
    pub fn on(&self) {
        if let Some(file) = &self.file {
            // The note comes first: a switch without a note would stay on for ever.
            self.page.note_expedited(true);
            let _ = file.write_at(b"1", 0);
        }
    }

    /// Turns it off, if it is on because of us.
    pub fn off(&self) {
        if let Some(file) = &self.file
            && self.page.is_expedited()
            && file.write_at(b"0", 0).is_ok()
        {
            self.page.note_expedited(false);
        }
    }
}

/// Whether there is such a switch, and a freeze is as short as with it on.
#[must_use]
pub fn is_available() -> bool {
    std::path::Path::new(SWITCH).exists()
}
