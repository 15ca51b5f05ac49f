//! Makes the receipt of a call from what is remembered: the record's names and the
//! page's words. Judges as little as it can: what is not on record did not happen.
//!
//! Times are rounded so that the hold is never claimed to be longer than it was: its
//! begin up, its end down.

use std::io;

use stillpoint_wire::receipt::{
    Frozen, Hold as Interval, HoldState, LeftOut, RECEIPT_CHARS_MAX, RECEIPT_VERSION, Receipt,
};

use crate::apps::{debts, hooks};
use crate::cli::Stage;
use crate::exit;
use crate::hold::{Cause, End, Hold, Phase};
use crate::page::{Fs, Page};
use crate::record::{Record, boot_id};

const NS_PER_MS: u64 = 1_000_000;

/// A receipt about no hold at all.
#[must_use]
pub fn plain(stage: Stage, execution_id: &str, code: u8, state: HoldState, why: &str) -> Receipt {
    Receipt {
        stillpoint: RECEIPT_VERSION,
        stage: stage.name().to_owned(),
        execution_id: execution_id.to_owned(),
        code,
        state,
        reason: why.to_owned(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot_id(),
        clock_ms: None,
        hold: None,
        frozen: Vec::new(),
        left_out: Vec::new(),
        applications: Vec::new(),
    }
}

/// A receipt with everything that is remembered of a hold.
#[must_use]
pub fn of_hold(stage: Stage, record: &Record, page: Page) -> Receipt {
    let hold = page.hold();
    let (code, state, reason) = verdict(stage, hold, record, page);
    let mut receipt = plain(stage, &record.execution_id, code, state, &reason);
    receipt.hold = interval(stage, hold, record, page, state);
    receipt.frozen = record
        .filesystems
        .iter()
        .map(|fs| Frozen {
            mount: fs.mount.clone(),
            fs: fs.fs.clone(),
            dev: fs.dev.clone(),
            volumes: fs.volumes.clone(),
        })
        .collect();
    receipt.left_out.clone_from(&record.left_out);
    receipt.applications.clone_from(&record.applications);
    if hold.is_ending() && !record.closed {
        // The holder did not live to ask them. Hooks are not asked, but run.
        let asked = receipt.applications.iter_mut().filter(|app| app.name != hooks::NAME);
        asked.filter(|app| app.state != debts::HELD).for_each(|app| app.state = "lost".into());
    }
    receipt
}

fn verdict(stage: Stage, hold: Hold, record: &Record, page: Page) -> (u8, HoldState, String) {
    let stuck = names(record, page, Fs::is_open);
    let is_pre = stage == Stage::PreScript;
    if !hold.is_ending() {
        return if hold.phase == Phase::Acknowledged {
            (exit::OK, HoldState::Held, String::new())
        } else {
            (exit::PRE_FAILED, HoldState::Failed, "the pre-script is still running".into())
        };
    }
    let mut why = because(hold, record, page);
    if !record.reason.is_empty() && !why.contains(&record.reason) {
        why = if why.is_empty() {
            record.reason.clone()
        } else {
            format!("{why}; {}", record.reason)
        };
    }
    if hold.end == End::Failed {
        if !stuck.is_empty() {
            why = format!("{why}; not thawed yet, the kernel holds it: {}", stuck.join(", "));
        }
        return match (is_pre, hold.cause) {
            (true, Cause::FreezeBusy) => (exit::ALREADY_HELD, HoldState::AlreadyHeld, why),
            (true, Cause::Busy) => (exit::NOT_READY, HoldState::Refused, why),
            (true, _) => (exit::PRE_FAILED, HoldState::Failed, why),
            (false, _) if stuck.is_empty() => {
                let why = format!("the pre-script had failed and was rolled back: {why}");
                (exit::NOTHING_HELD, HoldState::NothingHeld, why)
            }
            (false, _) => (exit::POST_FAILED, HoldState::Failed, why),
        };
    }
    if !stuck.is_empty() {
        return (
            exit::POST_FAILED,
            HoldState::Failed,
            format!("still frozen: {}", stuck.join(", ")),
        );
    }
    if record.applications.iter().any(|app| app.state == debts::HELD) {
        return (exit::POST_FAILED, HoldState::Failed, record.reason.clone());
    }
    if hold.end == End::AutoThawed {
        return (exit::AUTO_THAWED, HoldState::AutoThawed, why);
    }
    let broken = broken(record, page);
    let unreleased = record.applications.iter().any(|app| app.state == hooks::FAILED);
    match (hold.end, broken) {
        (End::Released, None) if unreleased => {
            (exit::POST_FAILED, HoldState::Failed, record.reason.clone())
        }
        (End::Released, None) => (exit::OK, HoldState::Released, String::new()),
        (End::Released, Some(broken)) => (exit::AUTO_THAWED, HoldState::Broken, broken),
        _ if stage == Stage::Thaw && hold.cause == Cause::Operator => {
            (exit::OK, HoldState::Broken, why)
        }
        _ => (exit::AUTO_THAWED, HoldState::Broken, why),
    }
}

/// What, in a hold that the post-script ended in time, was not as it should be.
fn broken(record: &Record, page: Page) -> Option<String> {
    let lost = names(record, page, |fs| fs == Fs::Lost);
    if !lost.is_empty() {
        return Some(format!("thawed by somebody else before us: {}", lost.join(", ")));
    }
    let unproven = names(record, page, |fs| fs != Fs::Thawed);
    if !unproven.is_empty() {
        return Some(format!("never frozen: {}", unproven.join(", ")));
    }
    let mut asked = record.applications.iter().filter(|app| app.name != hooks::NAME).peekable();
    asked.peek()?;
    if !record.closed {
        return Some("the holder died before it had asked the applications".into());
    }
    asked.any(|app| app.state != "released").then(|| record.reason.clone())
}

fn names(record: &Record, page: Page, wanted: fn(Fs) -> bool) -> Vec<String> {
    record
        .filesystems
        .iter()
        .enumerate()
        .filter(|(index, _)| wanted(page.fs(*index)))
        .map(|(_, fs)| fs.mount.clone())
        .collect()
}

fn because(hold: Hold, record: &Record, page: Page) -> String {
    let index = usize::from(hold.filesystem);
    let mount = record.filesystems.get(index).map(|fs| fs.mount.as_str()).unwrap_or_default();
    match hold.cause {
        Cause::None | Cause::PostScript if hold.end == End::Failed => {
            "the post-script came before the pre-script had succeeded".into()
        }
        Cause::None | Cause::PostScript => String::new(),
        Cause::Deadline => {
            let after = record.deadline_ms;
            let before =
                if hold.end == End::Failed { "all was frozen" } else { "the post-script came" };
            format!("the deadline of {after} ms passed before {before}")
        }
        Cause::ClientGone => "the pre-script was killed before it had its answer".into(),
        Cause::HolderGone => "the holder process died".into(),
        Cause::HolderSilent => "the holder process was stopped and had to be killed".into(),
        Cause::SentinelsGone => "every sentinel died, and a hold without one is not safe".into(),
        Cause::Signal => "the holder was asked to stop, as at shutdown".into(),
        Cause::Operator => "an operator asked for the thaw".into(),
        Cause::FreezeRefused => {
            let errno = page.freeze_errno();
            format!("{mount} cannot be frozen: {}", io::Error::from_raw_os_error(errno))
        }
        Cause::FreezeBusy => format!("{mount} is frozen already, by somebody else"),
        Cause::FreezeStuck => format!("freezing {mount} did not return within the budget"),
        Cause::Budget => "the pre-script's budget ran out".into(),
        Cause::Application | Cause::Busy => record.reason.clone(),
    }
}

fn interval(
    stage: Stage,
    hold: Hold,
    record: &Record,
    page: Page,
    state: HoldState,
) -> Option<Interval> {
    let times: Vec<[u64; 3]> =
        (0..record.filesystems.len()).map(|index| page.times_ns(index)).collect();
    if page.acknowledged_ns() == 0 {
        return None;
    }
    // A hold of applications alone begins when the client knows of it.
    let frozen_at = times.iter().map(|[_, frozen, _]| *frozen).max();
    let frozen_at = frozen_at.unwrap_or(page.acknowledged_ns());
    if frozen_at == 0 {
        return None;
    }
    let ended = Some(page.ended_ns()).filter(|_| hold.is_ending());
    let thawed_first = times.iter().map(|[_, _, thawed]| *thawed).filter(|at| *at > 0).min();
    let released = ended.map(|ended| thawed_first.map_or(ended, |thawed| thawed.min(ended)));
    let longest = times
        .iter()
        .filter(|[begun, _, thawed]| *thawed > *begun)
        .map(|[begun, _, thawed]| thawed - begun)
        .max();
    Some(Interval {
        unbroken: stage == Stage::PostScript && state == HoldState::Released,
        frozen_at_ms: frozen_at.div_ceil(NS_PER_MS),
        released_at_ms: released.map(|at| at / NS_PER_MS),
        frozen_ms: longest.filter(|_| ended.is_some()).map(|ns| ns.div_ceil(NS_PER_MS)),
        deadline_ms: record.deadline_ms,
    })
}

/// The receipt as one line that SSM does not cut: what is too much is left off the
/// lists, and the reason says so.
#[must_use]
pub fn line(mut receipt: Receipt) -> String {
    let mut cut = 0_usize;
    loop {
        let text = serde_json::to_string(&receipt).unwrap_or_default();
        if text.chars().count() <= RECEIPT_CHARS_MAX {
            return text;
        }
        cut += 1;
        if receipt.left_out.len() > 1 {
            receipt.left_out.pop();
            if let Some(last) = receipt.left_out.last_mut() {
                *last = LeftOut { mount: "...".into(), why: format!("and {cut} more") };
            }
        } else if !receipt.left_out.is_empty() {
            receipt.left_out.clear();
        } else if receipt.reason.chars().count() > 600 {
            receipt.reason = receipt.reason.chars().take(500).chain("...".chars()).collect();
        } else if receipt.frozen.pop().is_none() {
            return text;
        }
    }
}
