//! What one firing of a policy will do, as a value: shown by a dry run, executed otherwise.
//!
//! Every targeted instance ends in `runs` or in `left_out`, and every attached volume of a run in
//! its `volumes` or its `left_out_volumes`, each with a reason. Nothing is asked of AWS here, and
//! whether a run without its script is wanted is for the run to decide.

mod inventory;
mod run;
mod script;
mod snapshot_tags;
mod targets;
mod volumes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cron::next_firings;
use crate::json::quoted;
use crate::policy::{CreateRule, Policy, Schedule};
use crate::report::FieldError;

pub use inventory::{Attached, Instance, Inventory, Managed, Platform};
pub use run::{LeftOutVolume, PlannedRun, PlannedScript, PlannedVolume};

/// Enough to see the rhythm of a schedule.
const NEXT_FIRINGS_SHOWN: usize = 5;
/// A PutEvents request takes this many entries.
const MAX_PUT_EVENTS_ENTRIES: usize = 10;
const ON_DEMAND_PREFIX: &str = "on-demand:";

/// What starts a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The first schedule where none is named.
    pub schedule: Option<String>,
    /// What makes this firing the same one when it is delivered again: the scheduled time
    /// (RFC 3339), or `on-demand:` and a request id.
    pub nominal: String,
    /// When the planner was asked; `$(timestamp)` of a firing on demand, and the time after which
    /// the next firings are counted.
    pub fired_at: Timestamp,
    /// Only these of the policy's targets.
    pub instance_ids: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub policy_id: String,
    pub schedule_name: String,
    pub nominal: String,
    /// False for a policy that is DISABLED or in ERROR; then there are no runs.
    pub enabled: bool,
    pub runs: Vec<PlannedRun>,
    pub left_out: Vec<LeftOutInstance>,
    pub warnings: Vec<String>,
    pub next_firings: Vec<String>,
    /// Requests the runs will make when nothing is retried, by `service:Operation`.
    pub api_calls: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutInstance {
    pub instance_id: String,
    pub reason: String,
}

/// Plans one firing. Refused when it names a schedule that the policy does not have, or when its
/// nominal time is none.
pub fn plan(policy: &Policy, firing: &Firing, inventory: &Inventory) -> Result<Plan, FieldError> {
    let schedule = policy.schedule(firing.schedule.as_deref()).ok_or_else(|| {
        let names: Vec<&str> =
            policy.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        FieldError::new(
            "schedule",
            quoted(firing.schedule.as_deref().unwrap_or_default()),
            format!("one of the policy's schedules: {}", names.join(", ")),
        )
    })?;
    let nominal = Nominal::of(firing)?;
    let mut warnings = schedule_warnings(policy, schedule, &nominal);
    let (targets, mut left_out) = targets::select(policy, firing, inventory, &mut warnings);
    let mut runs = Vec::new();
    for instance in targets {
        match run::plan_one(policy, schedule, nominal.time, instance, &mut warnings) {
            Ok(run) => runs.push(run),
            Err(reason) => {
                left_out.push(LeftOutInstance { instance_id: instance.id.clone(), reason });
            }
        }
    }
    left_out.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    let next = if policy.enabled() {
        next_firings(schedule, firing.fired_at, NEXT_FIRINGS_SHOWN)
    } else {
        Vec::new()
    };
    Ok(Plan {
        policy_id: policy.id.clone(),
        schedule_name: schedule.name.clone(),
        nominal: nominal.key,
        enabled: policy.enabled(),
        api_calls: api_calls(&runs),
        runs,
        left_out,
        warnings,
        next_firings: next.iter().map(Timestamp::to_string).collect(),
    })
}

#[derive(Debug)]
struct Nominal {
    /// Always spelled the same way, so that one moment is one firing.
    key: String,
    /// What the snapshots carry as their timestamp.
    time: Timestamp,
    on_demand: bool,
}

impl Nominal {
    fn of(firing: &Firing) -> Result<Nominal, FieldError> {
        if let Some(request) = firing.nominal.strip_prefix(ON_DEMAND_PREFIX)
            && !request.is_empty()
        {
            let key = firing.nominal.clone();
            return Ok(Nominal { key, time: firing.fired_at, on_demand: true });
        }
        match firing.nominal.parse::<Timestamp>() {
            Ok(time) => Ok(Nominal { key: time.to_string(), time, on_demand: false }),
            Err(_) => Err(FieldError::new(
                "scheduledTime",
                quoted(&firing.nominal),
                "a time such as 2026-01-02T03:00:00Z, or on-demand: and a request id",
            )),
        }
    }
}

fn schedule_warnings(policy: &Policy, schedule: &Schedule, nominal: &Nominal) -> Vec<String> {
    let mut warnings = Vec::new();
    if !policy.enabled() {
        let state = policy.state.name();
        let message = policy.status_message.as_deref().map(|text| format!(" ({text})"));
        let message = message.unwrap_or_default();
        warnings.push(format!("the policy's State is {state}{message}: it starts no runs"));
    }
    if let CreateRule::Interval { time_given: false, .. } = &schedule.create_rule {
        let expression = schedule.create_rule.cron().text();
        warnings.push(format!("CreateRule.Times is not set: counted from 00:00 UTC, {expression}"));
    }
    if policy.enabled() && !nominal.on_demand {
        for other in &policy.schedules {
            if other != schedule && other.create_rule.cron().fires_at(nominal.time) {
                warnings.push(format!(
                    "schedule {} fires at the same time and makes a set of its own, where DLM \
                     makes one for both",
                    other.name
                ));
            }
        }
    }
    warnings
}

fn api_calls(runs: &[PlannedRun]) -> BTreeMap<String, usize> {
    let scripts =
        || runs.iter().filter_map(|run| run.script.as_ref()).filter(|script| script.skip.is_none());
    let commands: usize =
        scripts().map(|script| usize::from(script.pre) + usize::from(script.post)).sum();
    let requested = runs.len().div_ceil(MAX_PUT_EVENTS_ENTRIES);
    let calls = [
        ("ssm:SendCommand", commands),
        // Asked at least once while it runs and once when it has ended.
        ("ssm:GetCommandInvocation", commands * 2),
        ("ec2:CreateSnapshots", runs.len()),
        // The set and the instance, each once.
        ("ec2:CreateTags", runs.len() * 2),
        ("events:PutEvents", requested + runs.len()),
    ];
    let made = calls.into_iter().filter(|(_, count)| *count > 0);
    made.map(|(name, count)| (name.to_owned(), count)).collect()
}
