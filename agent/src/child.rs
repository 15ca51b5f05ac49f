//! Runs another program without depending on it: in a process group of its own, for a
//! limited time, with a limited part of its output.
//!
//! Never called between the first freeze and the last thaw. What a program leaves running
//! in its process group is killed with its end, so that nothing of it runs then either.

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::sys;
use crate::thaw::millis;

/// What is kept of the output: a screenful.
const OUTPUT_BYTES_MAX: usize = 4_096;
/// A killed process is gone within this, unless the kernel does not let it go.
const DEATH_PATIENCE: Duration = Duration::from_secs(1);
/// Read at the end of a program whose output others hold open and go on writing to.
const LAST_READS_MAX: usize = 64;

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The process, which stays a zombie until it is waited for; its id is its group's.
    process: OwnedFd,
    group: i32,
    output: PipeReader,
    kept: Vec<u8>,
}

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// `None` when it was killed for taking too long.
    pub status: Option<ExitStatus>,
    /// The beginning of its output, both streams.
    pub output: String,
}

impl Ended {
    /// What went wrong; `None` for success.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self.status {
            None => Some("it took too long and was killed".into()),
            Some(status) => match (status.code(), status.signal()) {
                (Some(0), _) => None,
                (Some(code), _) => Some(format!("it ended with exit code {code}")),
                (None, signal) => {
                    Some(format!("it was killed by signal {}", signal.unwrap_or_default()))
                }
            },
        }
    }
}

/// Starts a program.
pub fn start(mut command: Command) -> io::Result<Running> {
    let (output, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn()?;
    // Ours is exempt from the OOM killer; what others have written has no need to be.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "0");
    let group = i32::try_from(child.id()).unwrap_or(0);
    let process = sys::pidfd(group)?;
    Ok(Running { child, process, group, output, kept: Vec::new() })
}

impl Running {
    /// Waits for its end, or makes it end at a time of the boot clock.
    pub fn finish(mut self, until_ns: u64) -> Ended {
        let mut in_time = true;
        while !self.has_ended(Duration::ZERO) {
            let left = Duration::from_nanos(until_ns.saturating_sub(sys::boottime_ns()));
            if left.is_zero() {
                in_time = false;
                break;
            }
            let mut fds = [sys::readable(self.output.as_raw_fd()), sys::readable(-1)];
            fds[1].fd = self.process.as_raw_fd();
            sys::poll(&mut fds, millis(left).max(1));
            if fds[0].revents != 0 && !self.keep_some() {
                // The output is closed; what is waited for now is the end.
                self.has_ended(left);
            }
        }
        for _ in 0..LAST_READS_MAX {
            let ready = sys::poll(&mut [sys::readable(self.output.as_raw_fd())], 0) > 0;
            if !ready || !self.keep_some() {
                break;
            }
        }
        // Before it is waited for: until then nobody else can have its id.
        let _ = sys::kill_group(self.group);
        let ended = self.has_ended(DEATH_PATIENCE);
        let status = if ended { self.child.wait().ok() } else { None };
        let output = String::from_utf8_lossy(&self.kept).into_owned();
        Ended { status: status.filter(|_| in_time), output }
    }

    fn has_ended(&self, patience: Duration) -> bool {
        sys::poll(&mut [sys::readable(self.process.as_raw_fd())], millis(patience)) > 0
    }

    /// Reads what there is; false at the end of the output.
    fn keep_some(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        let len = self.output.read(&mut bytes).unwrap_or(0);
        let room = OUTPUT_BYTES_MAX - self.kept.len();
        self.kept.extend_from_slice(&bytes[..len.min(room)]);
        len > 0
    }
}
