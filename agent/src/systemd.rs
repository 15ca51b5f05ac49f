//! The third layer, where systemd runs the machine: a transient timer, started before
//! anything is frozen, that thaws after the deadline what neither holder nor sentinels
//! could, since all of them were killed.
//!
//! It thaws the hold of its own execution and no other. Not having it is no reason
//! against a hold: whatever goes wrong here is said to the log.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::child::{self, Running};
use crate::sys;
use crate::thaw::nanos;

/// Is there where systemd is process 1, as sd_booted(3) tells.
const BOOTED: &str = "/run/systemd/system";
/// What the sentinels may take at the deadline, before somebody else has to act.
const MARGIN: Duration = Duration::from_secs(5);
/// systemd answers in hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The timer of one execution.
#[derive(Debug)]
pub struct Timer {
    unit: String,
    starting: Option<Running>,
}

impl Timer {
    /// Begins to start the timer, where there is a systemd to do it. `hold` is the longest
    /// time until the deadline.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub fn start(execution_id: &str, hold: Duration) -> Result<Option<Self>, String> {
        if !Path::new(BOOTED).is_dir() {
            return Ok(None);
        }
        let agent = env::current_exe().map_err(|error| format!("our own path: {error}"))?;
        let unit = format!("stillpoint-thaw-{execution_id}");
        let after = (hold + MARGIN).as_secs_f64().ceil();
        let mut command = Command::new("systemd-run");
        command
            .arg(format!("--unit={unit}"))
            .arg(format!("--on-active={after}s"))
            // A timer is a minute late by default.
            .arg("--timer-property=AccuracySec=1s")
            .arg("--property=OOMScoreAdjust=-1000")
            .arg(agent)
            .args(["thaw", "--execution-id", execution_id]);
        let starting = child::start(command).map_err(|error| format!("systemd-run: {error}"))?;
        Ok(Some(Self { unit, starting: Some(starting) }))
    }

    /// Waits until the timer is there: nothing of this may run while something is frozen.
    ///
    /// # Errors
    /// Why it is not.
    pub fn ready(&mut self) -> Result<(), String> {
        let Some(starting) = self.starting.take() else { return Ok(()) };
        let ended = starting.finish(sys::boottime_ns() + nanos(PATIENCE));
        match ended.failure() {
            None => Ok(()),
            Some(why) => Err(format!("systemd-run: {why}: {}", ended.output.trim())),
        }
    }

    /// Removes the timer, after the thaw. One that stays finds nothing to thaw.
    pub fn cancel(mut self) {
        let _ = self.ready();
        let mut command = Command::new("systemctl");
        command.args(["stop", &format!("{}.timer", self.unit)]);
        if let Ok(running) = child::start(command) {
            running.finish(sys::boottime_ns() + nanos(PATIENCE));
        }
    }
}
