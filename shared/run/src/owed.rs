//! What the outside has to do next, read off the run. Each is safe to be asked for
//! again after a crash: commands carry the attempt's execution id, and a set that may
//! exist is searched for by the run's tag before another is made.

use crate::{Phase, Run, Sent};

/// The first wait before CreateSnapshots is repeated; it doubles: 2, 4, 8, 16, 32 s.
const THROTTLE_WAIT_MS: u64 = 2_000;

/// Systems Manager delivers a command within this time or not at all; it is the least that
/// SendCommand accepts.
pub const DELIVERY_SECS: u32 = 30;

/// EC2 wants 15 s between two snapshots of one volume.
const AFTER_THROTTLED_WINDOW_MS: u64 = 16_000;

/// What has to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// Tell the run that it begins, by [`crate::Seen::Begin`].
    Begin,
    /// Run the script's document on the instance.
    Command {
        /// Which half of it.
        stage: Stage,
        /// The attempt's own.
        execution_id: String,
    },
    /// Send the document that makes the set itself, once.
    SendVss {
        /// The attempt's own; it has to be in the command's comment.
        execution_id: String,
    },
    /// Search SSM for the command of that execution id, until the settle time is over.
    FindVss {
        /// The attempt's own.
        execution_id: String,
    },
    /// Wait for the end of that command.
    WatchVss {
        /// The attempt's own.
        execution_id: String,
        /// SSM's id.
        command_id: String,
        /// When it was sent, in ms since the epoch.
        sent_ms: u64,
    },
    /// Call CreateSnapshots, once, after this wait.
    CreateSnapshots {
        /// Always 0 while something may be held.
        wait_ms: u64,
    },
    /// Search for the set by the run-id tag, until the settle time is over; for what a VSS
    /// document made also by time.
    FindSet,
    /// Write the verdict to tags and instance, send the event.
    Report,
    /// Nothing: it is finished.
    Nothing,
}

/// The two halves of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Quiesce.
    Pre,
    /// Release.
    Post,
}

impl Stage {
    /// The value of the document's `command` parameter.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Pre => "pre-script",
            Self::Post => "post-script",
        }
    }
}

/// What `run` owes next.
#[must_use]
pub fn owed(run: &Run) -> Owed {
    let execution_id = || run.thaw_owed.clone().unwrap_or_default();
    match run.phase {
        Phase::New => Owed::Begin,
        Phase::PreScript => Owed::Command { stage: Stage::Pre, execution_id: execution_id() },
        Phase::PostScript => Owed::Command { stage: Stage::Post, execution_id: execution_id() },
        Phase::Vss => of_vss(run),
        Phase::Snapshot | Phase::Fallback => Owed::CreateSnapshots {
            wait_ms: match run.throttles {
                0 => 0,
                throttles => THROTTLE_WAIT_MS << (throttles - 1).min(8),
            },
        },
        Phase::Settle => Owed::FindSet,
        Phase::Report => Owed::Report,
        Phase::Done => Owed::Nothing,
    }
}

fn of_vss(run: &Run) -> Owed {
    let Some(vss) = &run.vss else { return Owed::Nothing };
    let execution_id = vss.execution_id.clone();
    match &vss.sent {
        Sent::NotYet => Owed::SendVss { execution_id },
        Sent::Uncertain => Owed::FindVss { execution_id },
        Sent::Yes { command_id, at_ms } => {
            Owed::WatchVss { execution_id, command_id: command_id.clone(), sent_ms: *at_ms }
        }
    }
}

/// Whether what is owed begins something: an attempt, or a set without one. Nothing is
/// held then, so whoever drives may still wait, or leave it to somebody else.
#[must_use]
pub fn begins(run: &Run) -> bool {
    match run.phase {
        Phase::PreScript | Phase::Fallback => true,
        Phase::Vss => run.vss.as_ref().is_some_and(|vss| vss.sent == Sent::NotYet),
        // Also where the policy runs only POST: a thaw is owed, and nothing is held.
        Phase::Snapshot => run.thaw_owed.is_none() || run.pre.is_none(),
        Phase::New | Phase::PostScript | Phase::Settle | Phase::Report | Phase::Done => false,
    }
}

/// Before this time, in ms since the epoch, what is owed makes no sense.
#[must_use]
pub fn not_before_ms(run: &Run) -> u64 {
    let throttled = run.create.filter(|_| run.windows_throttled > 0);
    match (run.phase, throttled) {
        (Phase::PreScript, Some(call)) => call.ended_ms + AFTER_THROTTLED_WINDOW_MS,
        (Phase::PostScript, _) if run.post_tries > 0 => run.pre_may_come_until_ms().unwrap_or(0),
        _ => 0,
    }
}

/// Whether the run must be on record before it does what it owes.
///
/// Always, but for the window between an acknowledged pre-script and its post-script:
/// what matters there (the thaw, the intent to make a set) was recorded before the
/// pre-script, and every millisecond of it is a stall for somebody. A new run owes
/// nothing that would have to be remembered.
#[must_use]
pub fn record_first(run: &Run) -> bool {
    match run.phase {
        Phase::Snapshot => run.thaw_owed.is_none() || run.pre.is_none(),
        Phase::New | Phase::PostScript => false,
        Phase::PreScript
        | Phase::Vss
        | Phase::Settle
        | Phase::Fallback
        | Phase::Report
        | Phase::Done => true,
    }
}
