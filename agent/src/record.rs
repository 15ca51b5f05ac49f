//! What is remembered of one execution in words, and who the processes of a hold are: an id
//! alone may be somebody else's by now.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::{Application, LeftOut};

use crate::sys;

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

/// The id of this boot.
#[must_use]
pub fn boot_id() -> String {
    // Read once, at the first call's beginning: nothing is opened while something is frozen.
    static ID: OnceLock<String> = OnceLock::new();
    let read = || sys::read_told("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    ID.get_or_init(|| read().trim().to_owned()).clone()
}

impl Process {
    /// Describes a process that is running.
    #[must_use]
    pub fn of(role: &str, pid: u32) -> Self {
        let stat = sys::read_told(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name may hold spaces and brackets; the numbers come after the last one.
        let after = stat.rsplit_once(')').map(|(_, numbers)| numbers).unwrap_or_default();
        let start_time = after.split_whitespace().nth(19).and_then(|time| time.parse().ok());
        Self { role: role.to_owned(), pid, start_time: start_time.unwrap_or(0) }
    }
}
