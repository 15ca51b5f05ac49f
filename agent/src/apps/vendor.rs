//! Runs a vendor's own client, as the operating system's user who owns the instance, with
//! nothing of our environment. Never while anything is frozen.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child;
use crate::sys;
use crate::thaw::nanos;

/// What a client finds on its search path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// After the thaw a client is given this: nothing but the post-script's answer waits for it, and
/// one that comes too late is asked for again.
pub const RELEASE_PATIENCE: Duration = Duration::from_secs(20);

/// How a client ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// The beginning of what it said, on both streams.
    pub output: String,
}

impl Ended {
    /// The first line that says something, for a message.
    #[must_use]
    pub fn word(&self) -> &str {
        self.output
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it said nothing")
    }
}

/// The command for `words`, as the owner of `owned`.
///
/// # Errors
/// Why it cannot be looked at.
pub fn command(words: &[String], owned: &Path) -> Result<Command, String> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let meta = fs::metadata(owned).map_err(|error| format!("{}: {error}", owned.display()))?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    if let Some((name, home)) = user(&passwd, meta.uid()) {
        command.env("USER", name).env("LOGNAME", name).env("HOME", home);
    }
    if meta.uid() != sys::effective_uid() {
        command.uid(meta.uid()).gid(meta.gid());
    }
    Ok(command)
}

/// Runs a command to its end.
///
/// # Errors
/// Why it could not be started, or that it took too long.
pub fn run(command: Command, budget: Duration) -> Result<Ended, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let running = child::start(command).map_err(|error| format!("{name}: {error}"))?;
    let ended = running.finish(sys::boottime_ns() + nanos(budget));
    match ended.status.and_then(|status| status.code()) {
        Some(code) => Ok(Ended { code, output: ended.output }),
        None => Err(format!("{name}: {}", ended.failure().unwrap_or_default())),
    }
}

/// Name and home of a user, from the text of `/etc/passwd`.
fn user(passwd: &str, uid: u32) -> Option<(&str, &str)> {
    passwd
        .lines()
        .find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id: u32 = fields.get(2)?.parse().ok()?;
            (id == uid).then(|| (fields.first().copied(), fields.get(5).copied()))
        })
        .and_then(|(name, home)| Some((name?, home?)))
}
