//! The few words that several subcommands say of a run.

use stillpoint_run::{Consistency, Outcome, Phase};
use stillpoint_wire::ledger::Row;

use crate::Paint;

/// What a run came to, or where it stands, in three words.
pub(crate) fn result(row: &Row, paint: Paint) -> String {
    let Some(outcome) = row.outcome else { return paint.dim(phase(row.phase)) };
    let what = row.consistency.map_or("", Consistency::as_str);
    let why = row.code.map(|code| code.as_str()).unwrap_or_default();
    match outcome {
        Outcome::Completed if row.consistency == Some(Consistency::Application) => paint.good(what),
        Outcome::Completed => format!("{what} {}", paint.dim(why)),
        Outcome::CompletedWithIssues if row.thaw_unconfirmed => {
            paint.bad(&format!("{what} {why} thaw unconfirmed"))
        }
        Outcome::CompletedWithIssues => paint.warn(&format!("{what} {why}")),
        Outcome::Failed => paint.bad(&format!("failed {why}")),
    }
}

/// A phase while it lasts.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::New => "requested",
        Phase::PreScript => "pre-script",
        Phase::Vss => "VSS document",
        Phase::Snapshot => "creating the set",
        Phase::PostScript => "post-script",
        Phase::Settle => "looking for the set",
        Phase::Fallback => "crash-consistent instead",
        Phase::Report => "writing the verdict",
        Phase::Done => "done",
    }
}

/// A time span as people say it.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// A moment: `2026-01-02 03:04:05`, in UTC.
pub(crate) fn moment(epoch_ms: u64) -> String {
    stillpoint_wire::time::rfc3339(epoch_ms).chars().take(19).collect::<String>().replace('T', " ")
}
