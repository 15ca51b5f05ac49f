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
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::{Application, LeftOut};

use crate::page::Page;
use crate::sys;

const DIR: &str = "/run/stillpoint";

/// A retried post-script comes within minutes; a day of hourly schedules is kept.
const RECORDS_KEPT: usize = 24;

/// What is remembered of one execution, besides the words of its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The attempt's UUID.
    pub execution_id: String,
    /// The boot that it is about.
    pub boot_id: String,
    /// The agent's version.
    pub agent: String,
    /// After how long the hold ends by itself.
    pub deadline_ms: u64,
    /// The processes of the hold.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// The filesystems, in the order of the page's entries.
    pub filesystems: Vec<Remembered>,
    /// What was left alone.
    pub left_out: Vec<LeftOut>,
    /// The applications, as they were last seen.
    #[serde(default)]
    pub applications: Vec<Application>,
    /// What a person who restores has to know.
    #[serde(default)]
    pub restore_notes: Vec<String>,
    /// Why the hold could not begin or an application was lost, in a sentence.
    #[serde(default)]
    pub reason: String,
    /// Whether the holder itself wrote this after the hold.
    #[serde(default)]
    pub closed: bool,
}

impl Record {
    /// Whether the holder is still there.
    #[must_use]
    pub fn holder_runs(&self) -> bool {
        let same = |one: &Process| one.start_time != 0 && Process::of(&one.role, one.pid) == *one;
        self.processes.iter().filter(|one| one.role == "holder").any(same)
    }
}

/// One process of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// `holder` or `sentinel`.
    pub role: String,
    /// Its id in the namespace that the agent runs in.
    pub pid: u32,
    /// When it started, in clock ticks since boot: an id alone may be somebody else's.
    pub start_time: u64,
}

/// One filesystem of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    /// The mount point that it was opened through.
    pub mount: String,
    /// That mount's id.
    pub mount_id: u64,
    /// Its type.
    pub fs: String,
    /// `major:minor` of the superblock.
    pub dev: String,
    /// The EBS volumes below it.
    pub volumes: Vec<String>,
}

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
        self.file(execution_id, "hooks")
    }

    /// Where it is on record what servers are owed that would go on without us.
    #[must_use]
    pub fn debts_file(&self, execution_id: &str) -> PathBuf {
        self.file(execution_id, "debts")
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
        self.dir.join(format!("run-{execution_id}.{kind}"))
    }

    /// Makes a fresh page for an execution.
    pub fn create_page(&self, execution_id: &str, filesystems: usize) -> io::Result<Page> {
        let path = self.file(execution_id, "page");
        // A new file: whoever still has the old one mapped keeps the old one.
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Page::create(&file, filesystems)
    }

    /// The page of an execution.
    pub fn page(&self, execution_id: &str, writable: bool) -> io::Result<Page> {
        let path = self.file(execution_id, "page");
        Page::open(&OpenOptions::new().read(true).write(writable).open(path)?, writable)
    }

    /// Writes a record, so that a reader finds the old one or the new one.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.file(&record.execution_id, "json");
        let fresh = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(serde_json::to_string(record)?.as_bytes())?;
        fs::rename(&fresh, &path)
    }

    /// The record of an execution of this boot.
    #[must_use]
    pub fn load(&self, execution_id: &str) -> Option<Record> {
        let text = fs::read_to_string(self.file(execution_id, "json")).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.boot_id == boot_id()).then_some(record)
    }

    /// Every execution that is remembered, the newest first.
    #[must_use]
    pub fn executions(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut found: Vec<(std::time::SystemTime, String)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                let id = name.strip_prefix("run-")?.strip_suffix(".json")?.to_owned();
                Some((entry.metadata().ok()?.modified().ok()?, id))
            })
            .collect();
        found.sort();
        found.into_iter().rev().map(|(_, id)| id).collect()
    }

    /// Forgets the oldest executions.
    pub fn prune(&self) {
        for id in self.executions().into_iter().skip(RECORDS_KEPT) {
            let _ = fs::remove_file(self.file(&id, "page"));
            let _ = fs::remove_file(self.file(&id, "json"));
            let _ = fs::remove_file(self.hooks_file(&id));
            let _ = fs::remove_file(self.debts_file(&id));
        }
    }
}

fn check_memory(folder: &str) -> Result<(), String> {
    match sys::is_tmpfs(Path::new(folder)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{folder}: it is not on tmpfs, where no freeze reaches it")),
        Err(error) => Err(format!("{folder}: {error}")),
    }
}

/// The id of this boot.
#[must_use]
pub fn boot_id() -> String {
    // Read once, at the first call's beginning: nothing is opened while something is frozen.
    static ID: OnceLock<String> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    ID.get_or_init(|| read().trim().to_owned()).clone()
}

impl Process {
    /// Describes a process that is running.
    #[must_use]
    pub fn of(role: &str, pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold spaces and brackets; the numbers come after the last one.
        let after = stat.rsplit_once(')').map(|(_, numbers)| numbers).unwrap_or_default();
        let start_time = after.split_whitespace().nth(19).and_then(|time| time.parse().ok());
        Self { role: role.to_owned(), pid, start_time: start_time.unwrap_or(0) }
    }
}
