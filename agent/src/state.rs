//! What the agent remembers between calls, in `/run/stillpoint`: the lock, the control
//! socket, and for each execution a record (JSON) with its page (`page`).
//!
//! It is memory, never a disk: a file on a filesystem that is frozen could not be
//! written, and what is remembered must not outlive the boot that it is about. Nothing
//! here is called between the first freeze and the thaw.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::page::Page;
use crate::record::{self, Record};
use crate::sys;

const DIR: &str = "/run/stillpoint";

/// What there is of each execution.
const RECORD: &str = "json";
const PAGE: &str = "page";
/// The page of a hold that is over and has left nothing to do: most of what is remembered.
const OVER: &str = "over";
const HOOKS: &str = "hooks";
const DEBTS: &str = "debts";

/// A retried post-script comes within minutes; a day of hourly schedules is kept.
const RECORDS_KEPT: usize = 24;
/// So many are let come together: to find the oldest takes a look at each.
const RECORDS_MAX: usize = 32;

/// The folder.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// The folder, made if it is not there.
    ///
    /// # Errors
    /// Why nothing can be remembered there.
    pub fn create() -> Result<Self, String> {
        let wrong = |error: io::Error| format!("{DIR}: {error}");
        if !Path::new(DIR).exists() {
            check_memory("/run")?;
            DirBuilder::new().recursive(true).mode(0o700).create(DIR).map_err(wrong)?;
        }
        let meta = fs::symlink_metadata(DIR).map_err(wrong)?;
        if !meta.is_dir() || meta.uid() != 0 {
            return Err(format!("{DIR}: it is not a folder that belongs to root"));
        }
        fs::set_permissions(DIR, fs::Permissions::from_mode(0o700)).map_err(wrong)?;
        check_memory(DIR)?;
        Ok(Self { dir: PathBuf::from(DIR) })
    }

    /// The folder, if it is there.
    #[must_use]
    pub fn existing() -> Option<Self> {
        let meta = fs::symlink_metadata(DIR).ok()?;
        (meta.is_dir() && meta.uid() == 0).then(|| Self { dir: PathBuf::from(DIR) })
    }

    /// Where the holder listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("ctl.sock")
    }

    /// Where it is on record what the hooks of an execution are owed.
    #[must_use]
    pub fn hooks_file(&self, execution_id: &str) -> PathBuf {
        self.file(execution_id, HOOKS)
    }

    /// Where it is on record what servers are owed that would go on without us.
    #[must_use]
    pub fn debts_file(&self, execution_id: &str) -> PathBuf {
        self.file(execution_id, DEBTS)
    }

    /// The lock's file. A hold has the lock from before it begins until the last of its
    /// processes has nothing left to do; the content is the execution id.
    pub fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(self.dir.join("lock"))
    }

    /// The execution whose hold is in place, if one is.
    #[must_use]
    pub fn current(&self) -> Option<String> {
        let mut file = File::open(self.dir.join("lock")).ok()?;
        if !sys::is_locked(&file).ok()? {
            return None;
        }
        let mut id = String::new();
        file.read_to_string(&mut id).ok()?;
        Some(id)
    }

    fn file(&self, execution_id: &str, kind: &str) -> PathBuf {
        self.dir.join(file_name(execution_id, kind))
    }

    /// Makes a fresh page for an execution.
    pub fn create_page(&self, execution_id: &str, filesystems: usize) -> io::Result<Page> {
        let path = self.file(execution_id, PAGE);
        // A new file: whoever still has the old one mapped keeps the old one.
        let _ = fs::remove_file(&path);
        let _ = fs::remove_file(self.file(execution_id, OVER));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Page::create(&file, filesystems)
    }

    /// The page of an execution.
    pub fn page(&self, execution_id: &str, writable: bool) -> io::Result<Page> {
        let mut options = OpenOptions::new();
        options.read(true).write(writable);
        // It gets its second name at the end and never the first one back.
        let open = |kind| options.open(self.file(execution_id, kind));
        Page::open(&open(PAGE).or_else(|_| open(OVER))?, writable)
    }

    /// Has later calls pass over the page of a hold that is over: of what is remembered they would
    /// else look at each page.
    pub fn shelve(&self, execution_id: &str) {
        let _ = fs::rename(self.file(execution_id, PAGE), self.file(execution_id, OVER));
    }

    /// Writes a record, so that a reader finds the old one or the new one.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.file(&record.execution_id, RECORD);
        let fresh = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(serde_json::to_string(record)?.as_bytes())?;
        fs::rename(&fresh, &path)
    }

    /// The record of an execution of this boot.
    #[must_use]
    pub fn load(&self, execution_id: &str) -> Option<Record> {
        let text = fs::read_to_string(self.file(execution_id, RECORD)).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.boot_id == record::boot_id()).then_some(record)
    }

    /// Every execution that is remembered, the newest first.
    #[must_use]
    pub fn executions(&self) -> Vec<String> {
        self.newest_first(&ids(&self.names(), RECORD))
    }

    /// Those of which something may be left to do, the newest first.
    #[must_use]
    pub fn unsettled(&self) -> Vec<String> {
        let names = self.names();
        let mut left = [PAGE, HOOKS, DEBTS].map(|kind| ids(&names, kind)).concat();
        left.sort_unstable();
        left.dedup();
        self.newest_first(&left)
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    fn newest_first(&self, ids: &[&str]) -> Vec<String> {
        let dated = |id: &&str| {
            let file = fs::metadata(self.file(id, RECORD)).ok()?;
            Some((file.modified().ok()?, (*id).to_owned()))
        };
        let mut found: Vec<(SystemTime, String)> = ids.iter().filter_map(dated).collect();
        found.sort();
        found.into_iter().rev().map(|(_, id)| id).collect()
    }

    /// Forgets the oldest executions.
    pub fn prune(&self) {
        let names = self.names();
        let known = ids(&names, RECORD);
        if known.len() <= RECORDS_MAX {
            return;
        }
        for id in self.newest_first(&known).into_iter().skip(RECORDS_KEPT) {
            for kind in [PAGE, OVER, RECORD, HOOKS, DEBTS] {
                let _ = fs::remove_file(self.file(&id, kind));
            }
        }
    }
}

fn file_name(execution_id: &str, kind: &str) -> String {
    format!("run-{execution_id}.{kind}")
}

/// The executions that have a file of this kind among these.
fn ids<'a>(names: &'a [String], kind: &str) -> Vec<&'a str> {
    let files = names.iter().filter_map(|name| name.strip_prefix("run-")?.strip_suffix(kind));
    files.filter_map(|name| name.strip_suffix('.')).collect()
}

fn check_memory(folder: &str) -> Result<(), String> {
    match sys::is_tmpfs(Path::new(folder)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{folder}: it is not on tmpfs, where no freeze reaches it")),
        Err(error) => Err(format!("{folder}: {error}")),
    }
}
