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
mod vss;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::coincide::{SetRules, set_rules};
use crate::firings::NextFiring;
use crate::json::quoted;
use crate::policy::{CreateRule, Handler, Policy};
use crate::report::FieldError;

pub use inventory::{Attached, Components, Instance, Inventory, Managed, Platform};
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
    /// The schedule whose run it is: of those that fire at this time, the one that keeps the set.
    pub schedule_name: String,
    /// All that fire at this time, in the order of the policy.
    pub schedule_names: Vec<String>,
    pub nominal: String,
    /// The end of the start window, or the begin of a blackout window in it; ms since the epoch.
    pub start_before_ms: u64,
    /// A set that is not proven to be application-consistent is a failed run.
    pub require_application_consistency: bool,
    /// False for a policy that is DISABLED or in ERROR; then there are no runs.
    pub enabled: bool,
    pub runs: Vec<PlannedRun>,
    pub left_out: Vec<LeftOutInstance>,
    pub warnings: Vec<String>,
    /// Of the whole policy.
    pub next_firings: Vec<NextFiring>,
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
///
/// Whichever of the schedules that fire at one time is named, the plan is the same, down to the
/// name that the run id is made from: duplicate firings ask for the same runs.
pub fn plan(policy: &Policy, firing: &Firing, inventory: &Inventory) -> Result<Plan, FieldError> {
    let named = policy.schedule(firing.schedule.as_deref());
    let nominal = Nominal::of(firing)?;
    let rules = named.and_then(|schedule| {
        set_rules(policy, &schedule.name, (!nominal.on_demand).then_some(nominal.time))
    });
    let rules = rules.ok_or_else(|| {
        let names: Vec<&str> =
            policy.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        FieldError::new(
            "schedule",
            quoted(firing.schedule.as_deref().unwrap_or_default()),
            format!("one of the policy's schedules: {}", names.join(", ")),
        )
    })?;
    let mut warnings = warnings(policy, &rules, &nominal);
    let (targets, mut left_out) =
        targets::select(policy, firing, &nominal, inventory, &mut warnings);
    let blackout = policy.settings.blackout_at(nominal.time).filter(|_| !nominal.on_demand);
    let mut runs = Vec::new();
    for instance in targets {
        let run = match blackout {
            Some(window) => {
                Err(format!("the firing is in a blackout window: {}", window.describe()))
            }
            None => run::plan_one(policy, &rules, nominal.time, instance, &mut warnings),
        };
        match run {
            Ok(run) => runs.push(run),
            Err(reason) => {
                left_out.push(LeftOutInstance { instance_id: instance.id.clone(), reason });
            }
        }
    }
    left_out.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
    let next_firings = if policy.enabled() {
        policy.next_firings(firing.fired_at, NEXT_FIRINGS_SHOWN)
    } else {
        Vec::new()
    };
    Ok(Plan {
        policy_id: policy.id.clone(),
        schedule_name: rules.schedule_name,
        schedule_names: rules.schedule_names,
        start_before_ms: start_before_ms(policy, &nominal),
        require_application_consistency: policy.settings.retention.require_application_consistency,
        nominal: nominal.key,
        enabled: policy.enabled(),
        api_calls: api_calls(&runs),
        runs,
        left_out,
        warnings,
        next_firings,
    })
}

/// A run that was not begun in its start window is not begun, and one that would begin in a
/// blackout window is not either. On demand a person has decided.
fn start_before_ms(policy: &Policy, nominal: &Nominal) -> u64 {
    let minutes = i64::from(policy.settings.start_within_minutes);
    let end = nominal.time + SignedDuration::from_mins(minutes);
    let blackout = policy.settings.blackout_between(nominal.time, end);
    let end = blackout.filter(|_| !nominal.on_demand).unwrap_or(end);
    u64::try_from(end.as_millisecond()).unwrap_or(0)
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

fn warnings(policy: &Policy, rules: &SetRules, nominal: &Nominal) -> Vec<String> {
    let mut warnings = Vec::new();
    if !policy.enabled() {
        let state = policy.state.name();
        let message = policy.status_message.as_deref().map(|text| format!(" ({text})"));
        let message = message.unwrap_or_default();
        warnings.push(format!("the policy's State is {state}{message}: it starts no runs"));
        return warnings;
    }
    if policy.default_policy.is_some() {
        warnings.push(
            "a default policy registers AMIs in DLM; here each instance gets the snapshot set of \
             one, at 00:00"
                .into(),
        );
    } else if let Some(schedule) = policy.schedule(Some(&rules.schedule_name))
        && let CreateRule::Interval { time_given: false, cron, .. } = &schedule.create_rule
    {
        let expression = cron.text();
        warnings.push(format!("CreateRule.Times is not set: counted from 00:00, {expression}"));
    }
    if rules.schedule_names.len() > 1 {
        warnings.push(format!(
            "{} fire at the same time: one set, kept by {}, with the tags and rules of all",
            rules.schedule_names.join(", "),
            rules.schedule_name
        ));
        let scripts = rules.schedule_names.iter().filter_map(|name| {
            let script = policy.schedule(Some(name))?.script.as_ref()?;
            Some((name, &script.document))
        });
        if let (Some(chosen), Some(of)) = (&rules.script, &rules.script_schedule) {
            for (name, document) in scripts.filter(|(_, document)| **document != chosen.document) {
                warnings.push(format!(
                    "one set has one script: {} of {of}, and not {document} of {name}",
                    chosen.document
                ));
            }
        }
    }
    if nominal.on_demand
        && let Some(window) = policy.settings.blackout_at(nominal.time)
    {
        warnings.push(format!(
            "it is a blackout window now: {}; a run on demand begins all the same",
            window.describe()
        ));
    }
    warnings
}

fn api_calls(runs: &[PlannedRun]) -> BTreeMap<String, usize> {
    let scripts =
        || runs.iter().filter_map(|run| run.script.as_ref()).filter(|script| script.skip.is_none());
    let commands: usize =
        scripts().map(|script| usize::from(script.pre) + usize::from(script.post)).sum();
    let vss = scripts().filter(|script| script.handler == Handler::Vss).count();
    let requested = runs.len().div_ceil(MAX_PUT_EVENTS_ENTRIES);
    let calls = [
        ("ssm:SendCommand", commands + vss),
        // Asked at least once while it runs and once when it has ended.
        ("ssm:GetCommandInvocation", (commands + vss) * 2),
        // Under VSS the instance makes the set, and we look for it, by tag and by volume.
        ("ec2:CreateSnapshots", runs.len() - vss),
        ("ec2:DescribeSnapshots", vss * 2),
        // The set and the instance, each once.
        ("ec2:CreateTags", runs.len() * 2),
        ("events:PutEvents", requested + runs.len()),
    ];
    let made = calls.into_iter().filter(|(_, count)| *count > 0);
    made.map(|(name, count)| (name.to_owned(), count)).collect()
}
