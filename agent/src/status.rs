//! `status` and `dry-run`: tell what is, and what would be. Neither changes anything.

use std::time::{SystemTime, UNIX_EPOCH};

use stillpoint_wire::receipt::{Frozen, HoldState, Receipt};

use crate::cli::{Call, Stage};
use crate::client;
use crate::state::State;
use crate::{exit, forecast, log, receipt};

/// Runs a dry-run: everything that a pre-script does before it changes anything.
#[must_use]
pub fn dry_run(call: &Call) -> Receipt {
    let (plan, apps) = match client::preflight(call) {
        Ok(ready) => ready,
        Err(why) => {
            let (code, state) = (exit::NOT_READY, HoldState::Refused);
            return receipt::plain(Stage::DryRun, &call.execution_id, code, state, &why);
        }
    };
    let held = State::existing().and_then(|state| state.current());
    let (code, state, why) = match held {
        Some(id) => {
            (exit::ALREADY_HELD, HoldState::AlreadyHeld, format!("the hold of {id} is in place"))
        }
        None => (exit::OK, HoldState::Planned, String::new()),
    };
    let mut planned = receipt::plain(Stage::DryRun, &call.execution_id, code, state, &why);
    for skipped in &plan.left_out {
        log::line(&format!("leaves out {}: {}", skipped.mount, skipped.why));
    }
    let config = &call.config;
    let forecast = forecast::lines(&plan.filesystems, config.expedited_rcu, config.stall_budget);
    forecast.iter().for_each(|line| log::line(line));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    planned.clock_ms = now.ok().and_then(|since| u64::try_from(since.as_millis()).ok());
    planned.left_out = client::left_out(&plan);
    planned.applications = apps.iter().map(|app| app.describe()).collect();
    planned.frozen = plan
        .filesystems
        .into_iter()
        .map(|fs| Frozen {
            mount: fs.mount.point.display().to_string(),
            fs: fs.fs,
            dev: fs.dev.to_string(),
            volumes: fs.volumes,
        })
        .collect();
    planned
}

/// Tells of the newest hold.
#[must_use]
pub fn status(call: &Call) -> Receipt {
    let nothing = |why: &str| {
        receipt::plain(Stage::Status, &call.execution_id, exit::OK, HoldState::NothingHeld, why)
    };
    let Some(state) = State::existing() else {
        return nothing("there never was a hold on this boot");
    };
    let newest = || state.executions().into_iter().next();
    let asked = Some(call.execution_id.clone()).filter(|id| !id.is_empty());
    let known = asked
        .or_else(|| state.current())
        .or_else(newest)
        .and_then(|id| state.load(&id).zip(state.page(&id, false).ok()));
    match known {
        Some((record, page)) => {
            let mut receipt = receipt::of_hold(Stage::Status, &record, page);
            // To have found out is success, whatever was found.
            receipt.code = exit::OK;
            receipt
        }
        None => nothing("nothing is remembered"),
    }
}

/// The receipt for a person.
#[must_use]
pub fn human(receipt: &Receipt) -> String {
    let mut lines = vec![format!("state      {}", word(receipt.state))];
    if !receipt.execution_id.is_empty() {
        lines.push(format!("execution  {}", receipt.execution_id));
    }
    if !receipt.reason.is_empty() {
        lines.push(format!("reason     {}", receipt.reason));
    }
    if let Some(hold) = &receipt.hold {
        let until = hold.released_at_ms.map_or("now".into(), |at| format!("{at} ms"));
        let (from, deadline) = (hold.frozen_at_ms, hold.deadline_ms);
        lines.push(format!(
            "held       from {from} ms to {until} of the boot clock, deadline {deadline} ms"
        ));
    }
    for fs in &receipt.frozen {
        lines.push(format!(
            "filesystem {} {} {} {}",
            fs.mount,
            fs.fs,
            fs.dev,
            fs.volumes.join(" ")
        ));
    }
    for out in &receipt.left_out {
        lines.push(format!("left out   {}: {}", out.mount, out.why));
    }
    for app in &receipt.applications {
        lines.push(format!("{} {} {} {}", app.name, app.version, app.state, app.position));
    }
    lines.join("\n")
}

fn word(state: HoldState) -> String {
    let quoted = serde_json::to_string(&state).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}
