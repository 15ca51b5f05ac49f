//! `/etc/stillpoint/agent.toml`: every setting, its default and its limits.
//!
//! `agent.toml` beside the sources documents each; a test keeps the two equal. Reads that
//! one file and changes nothing. The command line wins over it (`cli`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::apps::login::Login;
use crate::apps::wanted::Wanted;
use crate::cli::{DEADLINE_DEFAULT, TIMEOUT_DEFAULT};
use crate::flush;

mod keys;

pub use keys::{KEYS, parse};

/// Where the settings are; without the file, every default holds.
pub const FILE: &str = "/etc/stillpoint/agent.toml";
/// A file with every setting and its comments is a tenth of this.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Half of DLM's default time-out for a script.
const HOOK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What to do with a filesystem that must not be frozen: the root, and those without
/// which no post-script arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfreezable {
    /// Leave the root alone, and refuse a hold that would freeze the others.
    Refuse,
    /// Flush them, and freeze the rest.
    Flush,
}

/// What a hook that fails means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// There is no hold, or the release has failed.
    Fail,
    /// It is logged.
    Ignore,
}

/// The settings of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Whether they run with every application, not only with `--application hooks`.
    pub enabled: bool,
    /// How long each of them may take.
    pub timeout: Duration,
    /// What one that fails means.
    pub on_failure: OnFailure,
}

/// Every setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After how long a hold ends by itself.
    pub deadline: Duration,
    /// How long one call may take.
    pub timeout: Duration,
    /// Whether the kernel's RCU switch is used.
    pub expedited_rcu: bool,
    /// Whether systemd is asked to thaw, too.
    pub systemd: bool,
    /// Mount points that are left out.
    pub leave_out: Vec<PathBuf>,
    /// What to do with what must not be frozen.
    pub unfreezable: Unfreezable,
    /// How long what is left to write may hold the writers.
    pub stall_budget: Duration,
    /// The settings of hooks.
    pub hooks: Hooks,
    /// Applications that are quiesced besides those that a document names.
    pub also: Vec<Wanted>,
    /// Who the agent is to MySQL and MariaDB.
    pub mysql: Login,
    /// Who the agent is to Redis and Valkey.
    pub redis: Login,
    /// Who the agent is to MongoDB.
    pub mongodb: Login,
    /// Who the agent is to SQL Server.
    pub sqlserver: Login,
    /// The key of SAP HANA's user store; empty for the usual one.
    pub saphana_key: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: DEADLINE_DEFAULT,
            timeout: TIMEOUT_DEFAULT,
            expedited_rcu: true,
            systemd: true,
            leave_out: Vec::new(),
            unfreezable: Unfreezable::Refuse,
            stall_budget: flush::STALL_MAX,
            hooks: Hooks {
                enabled: false,
                timeout: HOOK_TIMEOUT_DEFAULT,
                on_failure: OnFailure::Fail,
            },
            also: Vec::new(),
            mysql: Login::default(),
            redis: Login::default(),
            mongodb: Login::default(),
            sqlserver: Login::default(),
            saphana_key: String::new(),
        }
    }
}

/// Reads the settings.
///
/// # Errors
/// What is wrong with the file, all of it at once.
pub fn load(path: &Path) -> Result<Config, String> {
    let says = |what: String| format!("{}: {what}", path.display());
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Config::default()),
        opened => opened.map_err(|error| says(error.to_string()))?,
    };
    check_owner(&file).map_err(says)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| says(error.to_string()))?;
    parse(&text).map_err(|problems| says(problems.join("; ")))
}

/// Who may write this file may run what he likes as root, by way of a hook.
fn check_owner(file: &File) -> Result<(), String> {
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".into());
    }
    check_root_alone(&meta)
}

/// Whether nobody but root may change a file.
///
/// # Errors
/// Who else may.
pub fn check_root_alone(meta: &std::fs::Metadata) -> Result<(), String> {
    match (meta.uid(), meta.mode() & 0o7777) {
        (0, mode) if mode & 0o022 == 0 => Ok(()),
        (0, mode) => Err(format!("its mode is {mode:04o}, only its owner root may write it")),
        (uid, _) => Err(format!("it belongs to user {uid}, it has to belong to root")),
    }
}
