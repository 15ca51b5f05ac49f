//! The programs of `/etc/stillpoint/hooks.d` as one application: each is run with `pre`
//! before the freeze, in the order of their names, and with `post` after the thaw, in the
//! reverse order, if its `pre` was started.
//!
//! What is owed is on record before a hook is started (`owed`), so that somebody else can
//! run it when the holder is no more. Nothing of a hook runs while anything is frozen.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stillpoint_wire::receipt::Application as Described;

use crate::apps::Application;
use crate::apps::owed::{Owed, Said};
use crate::child;
use crate::cli::Call;
use crate::config::{self, OnFailure};
use crate::plan::Plan;
use crate::state::State;
use crate::thaw::nanos;
use crate::{log, sys};

/// What the application is called in a receipt.
pub const NAME: &str = "hooks";
/// The state in which a `post` is still owed, since it failed.
pub const FAILED: &str = "failed";
/// Where hooks are.
pub const FOLDER: &str = "/etc/stillpoint/hooks.d";
/// What package managers and editors leave behind beside a file that they have changed.
const LEFTOVERS: [&str; 7] =
    ["~", ".bak", ".dpkg-dist", ".dpkg-new", ".dpkg-old", ".rpmnew", ".rpmsave"];
/// What a hook finds on its search path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug)]
struct Hooks {
    found: Vec<PathBuf>,
    settings: config::Hooks,
    owed: Owed,
    state: &'static str,
}

/// Finds the hooks.
pub(super) fn detect(call: &Call) -> Result<Box<dyn Application>, String> {
    let found = list(Path::new(FOLDER))?;
    if found.is_empty() {
        return Err(format!("there is no executable file in {FOLDER}"));
    }
    let settings = call.config.hooks;
    let owed = Owed {
        execution_id: call.execution_id.clone(),
        deadline_ms: u64::try_from(call.config.deadline.as_millis()).unwrap_or(u64::MAX),
        timeout_ms: u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX),
        strict: settings.on_failure == OnFailure::Fail,
        ..Owed::default()
    };
    Ok(Box::new(Hooks { found, settings, owed, state: "found" }))
}

/// Whether there is a hook to be run.
pub(super) fn any() -> bool {
    Path::new(FOLDER).exists() && !list(Path::new(FOLDER)).is_ok_and(|found| found.is_empty())
}

/// The executable files of a folder, in the order of their names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let says = |path: &Path, what: String| format!("{}: {what}", path.display());
    let wrong = |error: std::io::Error| says(folder, error.to_string());
    let meta = fs::metadata(folder).map_err(wrong)?;
    config::check_root_alone(&meta).map_err(|why| says(folder, why))?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || LEFTOVERS.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        if check(&path).map_err(|why| says(&path, why))? {
            found.push(path);
        }
    }
    found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(found)
}

/// Whether a file is a hook; an error if it is one that others than root could have
/// written.
fn check(path: &Path) -> Result<bool, String> {
    let meta = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if meta.is_symlink() {
        return Err("it is a symbolic link, a hook has to be a regular file".into());
    }
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Ok(false);
    }
    config::check_root_alone(&meta).map(|()| true)
}

/// Runs one hook.
///
/// # Errors
/// What went wrong.
pub(super) fn run(
    path: &Path,
    stage: &str,
    owed: &Owed,
    time: Duration,
    said: &mut Vec<Said>,
) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let says = |what: String| format!("hook {name} {stage}: {what}");
    // Looked at again: hours may lie between its `pre` and its `post`.
    if !check(path).map_err(says)? {
        return Err(says("it is not an executable file any more".into()));
    }
    let mut command = Command::new(path);
    command
        .arg(stage)
        .current_dir("/")
        .env_clear()
        .env("PATH", PATH)
        .env("STILLPOINT_EXECUTION_ID", &owed.execution_id)
        .env("STILLPOINT_DEADLINE_MS", owed.deadline_ms.to_string())
        .env("STILLPOINT_MOUNTS", &owed.mounts);
    let running = child::start(command).map_err(|error| says(error.to_string()))?;
    let ended = running.finish(sys::boottime_ns() + nanos(time));
    let lines = ended.output.lines().map(|line| says(line.to_owned()));
    said.extend(lines.map(|line| (stage.to_owned(), line)));
    ended.failure().map_or(Ok(()), |why| Err(says(why)))
}

/// A mount point a line; one that has a line break in it has `\012` there, as in
/// `/proc/mounts`.
fn mounts(plan: &Plan) -> String {
    let points = plan.filesystems.iter().map(|fs| fs.mount.point.display().to_string());
    let plain: Vec<String> =
        points.map(|point| point.replace('\\', "\\134").replace('\n', "\\012")).collect();
    plain.join("\n")
}

impl Application for Hooks {
    fn preflight(&mut self, plan: &Plan, _budget: Duration) -> Result<(), String> {
        self.owed.mounts = mounts(plan);
        let names: Vec<_> = self.found.iter().filter_map(|path| path.file_name()).collect();
        log::line(&format!("hooks, in this order: {names:?}"));
        Ok(())
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        let until = sys::boottime_ns() + nanos(budget);
        let state = State::existing().ok_or("the state has gone")?;
        self.state = "quiesced";
        for path in std::mem::take(&mut self.found) {
            let left = Duration::from_nanos(until.saturating_sub(sys::boottime_ns()));
            self.owed.hooks.push(path.clone());
            // Before it is started: whoever comes next must know that it may have run.
            self.owed.save(&state)?;
            let mut said = Vec::new();
            let done = run(&path, "pre", &self.owed, self.settings.timeout.min(left), &mut said);
            self.owed.say(said);
            let is_fatal = self.settings.on_failure == OnFailure::Fail;
            if let Err(why) = &done
                && !is_fatal
            {
                self.owed.say(vec![("pre".into(), format!("{why}; ignored"))]);
            }
            self.owed.save(&state)?;
            if is_fatal {
                done?;
            }
        }
        Ok(())
    }

    fn release(&mut self, _kept: bool, _budget: Duration) -> Result<(), String> {
        let Some(state) = State::existing().filter(|_| !self.owed.hooks.is_empty()) else {
            return Ok(());
        };
        let done = self.owed.run_all(&state);
        self.state = if done.is_ok() { "released" } else { FAILED };
        done
    }

    fn describe(&self) -> Described {
        Described {
            name: NAME.into(),
            version: String::new(),
            state: self.state.into(),
            position: String::new(),
        }
    }

    fn restore_note(&self) -> String {
        "hooks: what they quiesced is as their pre left it".into()
    }
}
