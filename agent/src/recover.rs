//! The last resort: thaws what a hold has left behind whose processes have all gone.
//!
//! Run by whichever call comes next, with the lock in hand, so that nobody else of us
//! is at work. Opens each filesystem again, through a mount of that very superblock.

use std::os::fd::AsFd;

use crate::apps::owed;
use crate::hold::{Cause, Event};
use crate::mountinfo::Mount;
use crate::mounts;
use crate::page::{Fs, Page};
use crate::rcu::Rcu;
use crate::record::{Record, Remembered};
use crate::state::State;
use crate::sys;

/// Ends every hold that nobody keeps any more; the caller has the lock.
pub fn leftovers(state: &State) {
    for id in state.unsettled() {
        let Ok(page) = state.page(&id, true) else { continue };
        if nothing_is_left(state, &id, page) {
            state.shelve(&id);
            continue;
        }
        if let Some(record) = state.load(&id) {
            finish(state, &record, page);
            owed::forget(state, &id);
        }
    }
}

/// What can be told without the record.
fn nothing_is_left(state: &State, execution_id: &str, page: Page) -> bool {
    let owed = [state.hooks_file(execution_id), state.debts_file(execution_id)];
    page.is_at_rest() && !owed.iter().any(|file| file.exists())
}

/// Ends one hold that nobody keeps any more, and runs what its hooks are owed; the caller
/// has the lock.
pub fn finish(state: &State, record: &Record, page: Page) {
    page.apply(Event::Stop(Cause::HolderGone, 0));
    Rcu::open_noted(page).off();
    let is_open = page.any(Fs::is_open);
    let table = if is_open { mounts::table().unwrap_or_default() } else { Vec::new() };
    for (index, remembered) in record.filesystems.iter().enumerate() {
        if page.fs(index).is_open() {
            thaw(index, remembered, &table, page);
        }
    }
    if !page.any(Fs::is_open) {
        page.apply(Event::AllThawed);
        let mut record = state.load(&record.execution_id).unwrap_or_else(|| record.clone());
        owed::settle(state, &mut record, "the next call");
    }
}

fn thaw(index: usize, remembered: &Remembered, table: &[Mount], page: Page) {
    let same =
        |mount: &&Mount| mount.dev.to_string() == remembered.dev && mount.fs == remembered.fs;
    let opened = table.iter().filter(same).find_map(|mount| mounts::open_mount(mount).ok());
    let Some(file) = opened else { return };
    let found = page.fs(index);
    match sys::thaw(file.as_fd()) {
        Ok(()) => page.change(index, found, Fs::Thawed),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // A process that died in between had thawed it, or had never frozen it.
            let was = if found == Fs::Frozen { Fs::Lost } else { Fs::Thawed };
            page.change(index, found, was)
        }
        Err(_) => false,
    };
}
