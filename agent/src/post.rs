//! The post-script, and an operator's thaw: asks the holder to end the hold, and tells
//! what the hold was, also when there is no holder left to ask.
//!
//! A post-script ends the hold of its own execution and no other. Repeated, it gives
//! the same answer again: the first one may have been lost on its way.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use stillpoint_wire::receipt::{Hold, HoldState, Receipt};

use crate::apps::owed;
use crate::cli::{Call, Stage};
use crate::control::{self, Ask};
use crate::hold::Phase;
use crate::page::Page;
use crate::record::Record;
use crate::state::State;
use crate::sys;
use crate::thaw::{millis, nanos};
use crate::{exit, receipt, recover};

/// Kept of the timeout for the way back through SSM.
const TIMEOUT_RESERVE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// Asks the holder for a post-script's release and does not wait; what is returned, that
/// post-script has to be given.
///
/// Every microsecond of the post-script until here is one that writers wait. Whether the
/// hold is that of this execution the holder knows; nothing that is looked at later could
/// be a reason against the thaw.
#[must_use]
pub fn ring(call: &Call) -> Option<UnixStream> {
    if call.stage != Stage::PostScript {
        return None;
    }
    send(&State::existing()?, &control::request(Ask::Release, &call.execution_id))
}

/// Runs a post-script, for which the holder may have been asked already.
#[must_use]
pub fn post_script(call: &Call, bell: Option<UnixStream>) -> Receipt {
    let Some(state) = State::existing() else {
        return nothing(call, "there never was a hold on this boot");
    };
    match known(&state, &call.execution_id) {
        Some((record, page)) => end(call, &state, &record, page, Ask::Release, bell),
        None => match state.current() {
            Some(other) => {
                nothing(call, &format!("the hold in place is that of {other}; left alone"))
            }
            None => nothing(call, "this execution has had no hold on this boot"),
        },
    }
}

/// Runs an operator's thaw: whatever of ours is held, whoever began it, or the hold of one
/// execution if it is named.
#[must_use]
pub fn thaw(call: &Call) -> Receipt {
    let Some(state) = State::existing() else {
        return nothing(call, "there never was a hold on this boot");
    };
    let open = |(_, page): &(Record, Page)| page.hold().phase != Phase::Over;
    let asked = |id: &String| call.execution_id.is_empty() || *id == call.execution_id;
    let left = || {
        let executions = state.executions().into_iter().filter(asked);
        executions.filter_map(|id| known(&state, &id)).find(open)
    };
    match left() {
        Some((record, page)) => end(call, &state, &record, page, Ask::Thaw, None),
        None => nothing(call, "nothing of ours is held"),
    }
}

fn nothing(call: &Call, why: &str) -> Receipt {
    let (code, state) = (exit::NOTHING_HELD, HoldState::NothingHeld);
    receipt::plain(call.stage, &call.execution_id, code, state, why)
}

fn known(state: &State, execution_id: &str) -> Option<(Record, Page)> {
    state.load(execution_id).zip(state.page(execution_id, true).ok())
}

fn end(
    call: &Call,
    state: &State,
    record: &Record,
    page: Page,
    ask: Ask,
    mut bell: Option<UnixStream>,
) -> Receipt {
    let until = sys::boottime_ns() + nanos(call.config.timeout.saturating_sub(TIMEOUT_RESERVE));
    let look = || look(state, record, page);
    let is_settled = |found: &(Record, bool)| found.1;
    // One that has rung has a holder that may be done by now, and still gets its answer: the next
    // pre-script finds the lock free only after that.
    let mut latest = bell.is_none().then(look);
    let repeated = latest.as_ref().is_some_and(is_settled);
    // An operator who names no execution means whatever the holder holds.
    let whose = if ask == Ask::Thaw { &call.execution_id } else { &record.execution_id };
    let request = control::request(ask, whose);
    while !latest.as_ref().is_some_and(is_settled) && sys::boottime_ns() < until {
        let holder = bell.take().or_else(|| send(state, &request));
        if !holder.is_some_and(|holder| answered(holder, state, record, page, until)) {
            if let Ok(lock) = state.lock_file()
                && matches!(sys::try_lock(&lock), Ok(true))
            {
                recover::finish(state, record, page);
                latest = None;
                break;
            }
            std::thread::sleep(POLL);
        }
        latest = Some(look());
    }
    if repeated
        && let Ok(lock) = state.lock_file()
        && matches!(sys::try_lock(&lock), Ok(true))
    {
        // A hook that failed is owed until it succeeds, as long as no other hold is in place.
        recover::finish(state, record, page);
        latest = None;
    }
    let (record, settled) = latest.unwrap_or_else(look);
    owed::log(state, &record.execution_id);
    let stage = if call.stage == Stage::Thaw { Stage::Thaw } else { Stage::PostScript };
    let answer = receipt::of_hold(stage, &record, page);
    if settled || page.hold().phase != Phase::Over {
        return answer;
    }
    let asking = || !record.applications.is_empty() && record.holder_runs();
    let rest = owed::rest(state, &record.execution_id)
        .or_else(|| asking().then(|| "the holder is still at it".into()));
    let Some(rest) = rest else { return answer };
    Receipt {
        code: exit::POST_FAILED,
        state: HoldState::Failed,
        reason: format!("everything is thawed, but not every application is released: {rest}"),
        hold: answer.hold.map(|hold| Hold { unbroken: false, ..hold }),
        ..answer
    }
}

/// The record as it is now, and whether all is known that ever will be.
fn look(state: &State, record: &Record, page: Page) -> (Record, bool) {
    let id = record.execution_id.as_str();
    let over = page.hold().phase == Phase::Over;
    // Asked before the record is read: a holder writes it before it gives up the lock.
    let left = over && state.current().as_deref() != Some(id);
    let record = state.load(id).unwrap_or_else(|| record.clone());
    let settled = left || over && record.closed;
    (record, settled)
}

fn send(state: &State, request: &[u8]) -> Option<UnixStream> {
    let mut holder = sys::connect(&state.socket()).ok()?;
    holder.write_all(request).ok().map(|()| holder)
}

/// Waits for the holder's answer; false when there is none to be had.
fn answered(
    mut holder: UnixStream,
    state: &State,
    record: &Record,
    page: Page,
    until: u64,
) -> bool {
    loop {
        let left = Duration::from_nanos(until.saturating_sub(sys::boottime_ns()));
        let wait = millis(left.min(Duration::from_millis(50)));
        if sys::poll(&mut [sys::readable(holder.as_raw_fd())], wait) > 0 {
            return matches!(holder.read(&mut [0]), Ok(1));
        }
        // A holder that was stopped never answers; its sentinels' work shows in the page.
        if left.is_zero() || look(state, record, page).1 {
            return true;
        }
    }
}
