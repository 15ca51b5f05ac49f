//! The pre-script: decides whether a hold is possible, starts the holder and stays until
//! it knows how that went.
//!
//! Two answers make a hold: the holder's "frozen" and the client's acknowledgement. If
//! the client dies before, the holder thaws; if the holder dies before, the client says
//! so.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stillpoint_wire::receipt::{HoldState, LeftOut, Receipt};

use crate::apps::{self, Application, owed};
use crate::cli::{Call, Stage};
use crate::control::{ACKNOWLEDGE, MESSAGE_BYTES_MAX, to_client};
use crate::hold::{End, Phase};
use crate::holder::{self, Job};
use crate::page::{Fs, Page};
use crate::plan::{self, Filesystem, Plan};
use crate::record::{self, Record, Remembered};
use crate::state::State;
use crate::sys::{self, Forked};
use crate::thaw::{millis, nanos};
use crate::{exit, failpoint, log, receipt, recover};

/// Where devices are looked up.
pub const SYSFS: &str = "/sys";
/// Kept of the timeout for the way back through SSM.
const TIMEOUT_RESERVE: Duration = Duration::from_secs(2);
/// A hold that is just ending gives its lock up within this.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long the client waits after the budget for a holder that should have answered, and
/// then for the roll-back: together less than the reserve.
const HOLDER_PATIENCE: Duration = Duration::from_millis(750);
/// Settings and paths are asked within this.
pub const PREFLIGHT_BUDGET: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// Runs a pre-script.
#[must_use]
pub fn pre_script(call: &Call) -> Receipt {
    let budget_ns = sys::boottime_ns() + nanos(call.config.timeout.saturating_sub(TIMEOUT_RESERVE));
    let refuse = |why: &str| refused(call, why);
    let state = match State::create() {
        Ok(state) => state,
        Err(why) => return refuse(&why),
    };
    let lock = match state.lock_file() {
        Ok(lock) => lock,
        Err(error) => return refuse(&format!("the lock: {error}")),
    };
    if let Some(receipt) = wait_for_lock(call, &state, &lock, budget_ns) {
        return receipt;
    }
    recover::leftovers(&state);
    if let Some(receipt) = earlier(call, &state) {
        return receipt;
    }
    let (plan, apps) = match preflight(call) {
        Ok(ready) => ready,
        Err(why) => return refuse(&why),
    };
    state.prune();
    match start(call, &state, lock, plan, apps, budget_ns) {
        Ok((record, page, holder)) => attend(&state, &record, page, &holder, budget_ns),
        Err(error) => refuse(&format!("the holder cannot be started: {error}")),
    }
}

fn refused(call: &Call, why: &str) -> Receipt {
    receipt::plain(call.stage, &call.execution_id, exit::NOT_READY, HoldState::Refused, why)
}

/// Everything that is decided before anything is changed.
///
/// # Errors
/// Why no hold is possible.
pub fn preflight(call: &Call) -> Result<(Plan, Vec<Box<dyn Application>>), String> {
    let plan = plan::make(Path::new(SYSFS), &call.volumes, &call.config)?;
    let mut apps = apps::detect(call)?;
    if plan.filesystems.is_empty() && apps.is_empty() {
        let out: Vec<String> = left_out(&plan).into_iter().map(|out| out.mount).collect();
        let out = out.join(", ");
        return Err(format!("nothing would be frozen, and no application be quiesced ({out})"));
    }
    for app in &mut apps {
        app.preflight(&plan, PREFLIGHT_BUDGET)?;
    }
    Ok((plan, apps))
}

/// Takes the lock; a receipt when somebody else's hold is in place, or this very one.
fn wait_for_lock(
    call: &Call,
    state: &State,
    lock: &std::fs::File,
    budget_ns: u64,
) -> Option<Receipt> {
    let patience = sys::boottime_ns() + nanos(LOCK_PATIENCE);
    loop {
        match sys::try_lock(lock) {
            Ok(true) => {
                let text = call.execution_id.as_bytes();
                let noted = lock.set_len(0).and_then(|()| lock.write_all_at(text, 0));
                return noted.err().map(|error| refused(call, &format!("the lock: {error}")));
            }
            Ok(false) => {}
            Err(error) => return Some(refused(call, &format!("the lock: {error}"))),
        }
        let current = state.current();
        let ours = current.as_deref() == Some(call.execution_id.as_str());
        let known = state.load(&call.execution_id).zip(state.page(&call.execution_id, false).ok());
        if ours
            && let Some((record, page)) = &known
            && page.hold().phase == Phase::Acknowledged
        {
            return Some(receipt::of_hold(Stage::PreScript, record, *page));
        }
        // The same call is at work elsewhere: its answer is ours, if it comes in time.
        let until = if ours { budget_ns } else { patience };
        if sys::boottime_ns() >= until {
            let id = current.unwrap_or_else(|| "another execution".into());
            let why = format!("the hold of {id} is in place");
            let (code, held) = (exit::ALREADY_HELD, HoldState::AlreadyHeld);
            return Some(receipt::plain(Stage::PreScript, &call.execution_id, code, held, &why));
        }
        std::thread::sleep(POLL);
    }
}

/// One execution has one hold. A pre-script that is delivered a second time, after the
/// hold, must not begin another one that nobody would end.
fn earlier(call: &Call, state: &State) -> Option<Receipt> {
    let page = state.load(&call.execution_id).and(state.page(&call.execution_id, false).ok())?;
    let ended = page.hold().end;
    (ended != End::Failed).then(|| {
        refused(call, "this execution id has had its hold; another attempt needs another id")
    })
}

/// Forks the holder. Returns what the client needs to follow it.
fn start(
    call: &Call,
    state: &State,
    lock: std::fs::File,
    plan: Plan,
    apps: Vec<Box<dyn Application>>,
    budget_ns: u64,
) -> std::io::Result<(Record, Page, UnixStream)> {
    let record = remember(call, &plan);
    let page = state.create_page(&call.execution_id, plan.filesystems.len())?;
    state.save(&record)?;
    let _ = std::fs::remove_file(state.socket());
    let listener = sys::listen(&state.socket())?;
    let (ours, theirs) = sys::socket_pair()?;
    let client = std::process::id();
    match sys::fork()? {
        // Not freed: that would write to memory which is shared until then. Its files are open until
        // this process ends, which is soon.
        Forked::Parent(_) => std::mem::forget((plan, apps)),
        Forked::Child => {
            drop(ours);
            let depths = plan.filesystems.iter().map(|fs| fs.depth).collect();
            let name = |fs: &Filesystem| (fs.mount.point.display().to_string(), fs.dev);
            let flushed = plan.flushed.iter().map(name).collect();
            let all = plan.filesystems.into_iter().chain(plan.flushed);
            let files = Arc::new(all.map(|fs| fs.file).collect());
            let (state, config) = (state.clone(), call.config.clone());
            let job = Job {
                client,
                files,
                depths,
                flushed,
                page,
                state,
                record,
                apps,
                lock,
                config,
                budget_ns,
            };
            holder::run(job, theirs, listener);
        }
    }
    Ok((record, page, ours))
}

fn remember(call: &Call, plan: &Plan) -> Record {
    let filesystems = plan.filesystems.iter().map(|fs| Remembered {
        mount: fs.mount.point.display().to_string(),
        mount_id: fs.mount.id,
        fs: fs.fs.clone(),
        dev: fs.dev.to_string(),
        volumes: fs.volumes.clone(),
    });
    Record {
        execution_id: call.execution_id.clone(),
        boot_id: record::boot_id(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        deadline_ms: u64::try_from(call.config.deadline.as_millis()).unwrap_or(u64::MAX),
        processes: Vec::new(),
        filesystems: filesystems.collect(),
        left_out: left_out(plan),
        applications: Vec::new(),
        restore_notes: Vec::new(),
        reason: String::new(),
        closed: false,
    }
}

/// What a receipt lists as left out: not what could never be on a volume.
#[must_use]
pub fn left_out(plan: &Plan) -> Vec<LeftOut> {
    plan.left_out
        .iter()
        .filter(|skipped| !skipped.pseudo)
        .map(|skipped| LeftOut { mount: skipped.mount.clone(), why: skipped.why.clone() })
        .collect()
}

/// Follows the holder to its answer.
fn attend(
    state: &State,
    record: &Record,
    page: Page,
    holder: &UnixStream,
    budget_ns: u64,
) -> Receipt {
    let until = budget_ns + nanos(HOLDER_PATIENCE);
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let (mut known, mut lines) = (record.clone(), Vec::new());
    let quiet = log::is_file();
    loop {
        let left = Duration::from_nanos(until.saturating_sub(sys::boottime_ns()));
        if sys::poll(&mut [sys::readable(holder.as_raw_fd())], millis(left)) == 0 {
            if sys::boottime_ns() >= until {
                break;
            }
            continue;
        }
        let mut socket = holder;
        let len = socket.read(&mut bytes).unwrap_or(0);
        match bytes.get(..len).and_then(<[u8]>::split_first) {
            Some((&to_client::LOG, text)) => {
                failpoint::hit("client.logs");
                let text = String::from_utf8_lossy(text);
                // A file may be on what is being frozen just now; writing it would be the end.
                if quiet { lines.push(text.into_owned()) } else { log::line(&text) }
            }
            Some((&to_client::RECORD, text)) => {
                known = serde_json::from_slice(text).unwrap_or(known);
            }
            Some((&to_client::FROZEN, _)) => {
                failpoint::hit("client.frozen");
                let _ = socket.write(&[ACKNOWLEDGE]);
            }
            Some((&to_client::HELD, _)) => {
                return receipt::of_hold(Stage::PreScript, &known, page);
            }
            // Ended, or the holder is gone.
            _ => break,
        }
    }
    let receipt = failed(state, record, page, holder);
    lines.iter().for_each(|line| log::line(line));
    receipt
}

/// Waits until a hold that did not come about is rolled back.
fn failed(state: &State, record: &Record, page: Page, holder: &UnixStream) -> Receipt {
    // A holder that still waits for us takes this as our end.
    let _ = holder.shutdown(std::net::Shutdown::Both);
    let until = sys::boottime_ns() + nanos(HOLDER_PATIENCE);
    let rolled_back =
        || page.hold().phase == Phase::Over || !page.any(Fs::is_open) && page.hold().is_ending();
    while !rolled_back() && sys::boottime_ns() < until {
        if let Ok(lock) = state.lock_file()
            && matches!(sys::try_lock(&lock), Ok(true))
        {
            // Nobody is left who could.
            recover::finish(state, record, page);
        }
        std::thread::sleep(POLL);
    }
    let record = state.load(&record.execution_id).unwrap_or_else(|| record.clone());
    owed::log(state, &record.execution_id);
    let mut failure = receipt::of_hold(Stage::PreScript, &record, page);
    if let Some(rest) = owed::rest(state, &record.execution_id) {
        failure.reason = format!("{}; {rest}", failure.reason);
    }
    failure
}
