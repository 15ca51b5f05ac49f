//! The times of a run as bars on one scale.

use stillpoint_run::{Proof, ProofState, Run, StageReport, StageResult};

use crate::words::span;
use crate::{Out, Table};

/// Columns of the scale; what stands beside it still fits into 100.
const SCALE: u64 = 32;

/// One thing that took its time.
struct Bar {
    what: &'static str,
    started_ms: u64,
    ended_ms: u64,
    good: bool,
    words: String,
}

/// The bars of the last attempt, from its first command on; before, there is only waiting.
pub(crate) fn render(run: &Run, now_ms: u64, out: &Out) -> String {
    let bars = bars(run);
    let Some(from_ms) = bars.iter().map(|bar| bar.started_ms).min() else { return String::new() };
    let last_ms = bars.iter().map(|bar| bar.ended_ms).max().unwrap_or(from_ms);
    let until_ms = if run.verdict.is_some() { last_ms } else { now_ms.max(last_ms) };
    let mut table = Table::indented(2);
    for bar in &bars {
        let line = drawn(bar, from_ms, until_ms.max(from_ms + 1));
        let line = if bar.good { out.paint.good(&line) } else { out.paint.warn(&line) };
        let took = span(bar.ended_ms.saturating_sub(bar.started_ms));
        table.row([bar.what.to_owned(), clock(bar.started_ms), line, took, bar.words.clone()]);
    }
    format!("\n{}\n{}", out.paint.bold("timeline"), table.render(out.width))
}

fn bars(run: &Run) -> Vec<Bar> {
    let mut bars = vec![];
    bars.extend(run.pre.as_ref().map(|report| stage("pre-script", report)));
    let vss = run.vss.as_ref().and_then(|vss| vss.report.as_ref());
    bars.extend(vss.map(|report| stage("VSS document", report)));
    bars.extend(run.create.as_ref().map(|call| Bar {
        what: "CreateSnapshots",
        started_ms: call.started_ms,
        ended_ms: call.ended_ms,
        good: run.set.as_ref().is_some_and(|set| !set.adopted),
        words: match &run.set {
            Some(set) if set.adopted => "no answer; the set was found by its tag".to_owned(),
            Some(set) if set.snapshots.len() == 1 => "1 snapshot".to_owned(),
            Some(set) => format!("{} snapshots", set.snapshots.len()),
            None => "no set".to_owned(),
        },
    }));
    bars.extend(run.post.as_ref().map(|report| stage("post-script", report)));
    bars.sort_by_key(|bar| bar.started_ms);
    bars
}

fn stage(what: &'static str, report: &StageReport) -> Bar {
    let mut words = match (report.result, report.exit_code) {
        (StageResult::Ok, _) => "ok".to_owned(),
        (StageResult::Failed, Some(code)) => format!("failed, exit code {code}"),
        (StageResult::Failed, None) => "failed".to_owned(),
        (StageResult::TimedOut, _) => "timed out".to_owned(),
        (StageResult::NotSent, _) => "not sent".to_owned(),
        (StageResult::Unknown, _) => "not known whether it ran".to_owned(),
    };
    if let Proof::Receipt { state, .. } = &report.proof {
        words += match state {
            ProofState::Held => "; receipt: everything held",
            ProofState::ReleasedUnbroken => "; receipt: released, the hold had no gap",
            ProofState::AutoThawed => "; receipt: thawed by its own deadline",
            ProofState::Broken => "; receipt: the hold had a gap",
            ProofState::NoHold => "; receipt: nothing held",
        };
    } else if report.result == StageResult::Ok {
        words += ", no receipt";
    }
    let good = report.result == StageResult::Ok;
    Bar { what, started_ms: report.started_ms, ended_ms: report.ended_ms, good, words }
}

/// A bar is never empty: what was too short to draw did happen.
fn drawn(bar: &Bar, from_ms: u64, until_ms: u64) -> String {
    let column =
        |ms: u64| (ms.saturating_sub(from_ms)).saturating_mul(SCALE) / (until_ms - from_ms);
    let begin = column(bar.started_ms).min(SCALE - 1);
    let end = column(bar.ended_ms).clamp(begin + 1, SCALE);
    let part =
        |sign: &str, from: u64, to: u64| sign.repeat(usize::try_from(to - from).unwrap_or(0));
    part("·", 0, begin) + &part("█", begin, end) + &part("·", end, SCALE)
}

/// `03:04:05.678`, in UTC.
fn clock(epoch_ms: u64) -> String {
    stillpoint_wire::time::rfc3339(epoch_ms).chars().skip(11).take(12).collect()
}
