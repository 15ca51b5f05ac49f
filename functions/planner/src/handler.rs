//! Request -> policy -> inventory -> plan -> one "Snapshot Run Requested" an instance.
//! `dryRun` stops before the last step and returns the very orders that it would send.

use std::fmt::Display;
use std::pin::pin;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use stillpoint_drive::DUE_AFTER_MS;
use stillpoint_drive::outside::{Account, Fault, Firing as Fired, Lease, SaveFault};
use stillpoint_policy::{
    Firing, Handler, INLINE_POLICY_ID, Plan, PlannedRun, Policy, Retain, estimate, parse, plan,
};
use stillpoint_run::{LeftOutVolume, Order, Run, Script, Volume};
use stillpoint_telemetry::RefusalCode;
use stillpoint_wire::event::{RUN_FINISHED, RUN_REQUESTED, RunFinished, RunRequested};
use stillpoint_wire::{ids, tags};

use crate::answer::Answer;
use crate::{PolicyRef, Request, metrics};

/// So many runs are put on record, and then requested, before the next.
const PART: usize = 500;
/// So many runs are put on record at a time.
const RECORDS_AT_ONCE: usize = 32;

/// Why there is no plan. Nothing was touched.
#[derive(Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// Everything that is wrong, a line each.
    pub text: String,
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.text)
    }
}

impl std::error::Error for Refusal {}

/// Handles one invocation.
///
/// # Errors
/// The refusal. Unless it was a dry run it is on the bus as a finished run that failed,
/// under an id that is the same for the same occasion.
pub async fn handle<A: Account>(
    account: &A,
    event: &Value,
    request_id: &str,
) -> Result<Answer, Refusal> {
    let result = answer(account, event, request_id).await;
    match &result {
        Ok(answer) => tracing::info!(
            policy_id = answer.policy_id,
            schedule = answer.schedule_name,
            runs = answer.runs.len(),
            left_out = %answer.left_out,
            dry_run = answer.dry_run,
            "planned"
        ),
        Err(refusal) => {
            tracing::error!(code = refusal.code.as_str(), text = refusal.text, "refused");
            if !event.get("dryRun").and_then(Value::as_bool).unwrap_or(false) {
                record(account, event, request_id, refusal).await;
            }
        }
    }
    result
}

async fn answer<A: Account>(
    account: &A,
    event: &Value,
    request_id: &str,
) -> Result<Answer, Refusal> {
    let request = Request::read(event).map_err(|errors| refuse(RefusalCode::Request, &errors))?;
    let policy = policy(account, &request.policy).await?;
    let fired_at = timestamp(account.now_ms());
    let request_id = request.request_id.as_deref().unwrap_or(request_id);
    let nominal =
        request.scheduled_time.clone().unwrap_or_else(|| format!("on-demand:{request_id}"));
    let mut inventory = account
        .inventory(&policy.target_tags, request.instance_ids.as_deref())
        .await
        .map_err(|fault| unanswered(RefusalCode::Inventory, &fault))?;
    if policy.uses_vss() {
        // Only for warnings, which are not worth a plan.
        if let Err(fault) = account.see_vss_components(&mut inventory).await {
            tracing::warn!(%fault, "the inventory of VSS components is not known");
        }
    }
    let firing = Firing {
        schedule: request.schedule.clone(),
        nominal,
        fired_at,
        instance_ids: request.instance_ids.clone(),
    };
    let plan = plan(&policy, &firing, &inventory)
        .map_err(|error| refuse(RefusalCode::Request, &[error]))?;
    let expires = expires_at(&policy, &plan.schedule_name, fired_at);
    let orders: Vec<Order> =
        plan.runs.iter().map(|run| order(&plan, run, expires.as_deref())).collect();
    if !request.dry_run {
        // In parts, so that the first of a large fleet are not kept waiting by the last.
        for orders in orders.chunks(PART) {
            put_on_record(account, orders, request_id).await?;
            let details = orders.iter().map(RunRequested::detail).collect();
            let published = account.publish(RUN_REQUESTED, details).await;
            published.map_err(|fault| unanswered(RefusalCode::Bus, &fault))?;
        }
        let targets = plan.runs.len() + plan.left_out.len();
        let (policy_id, schedule) = (&plan.policy_id, &plan.schedule_name);
        account.metric(metrics::targeted(policy_id, schedule, targets, account.now_ms()));
        if request.scheduled_time.is_some() {
            let firing = Fired {
                policy_id: plan.policy_id.clone(),
                // As the schedule said it, also where another one's firing makes the set.
                schedule_name: request.schedule.clone().unwrap_or(plan.schedule_name.clone()),
                nominal_time: plan.nominal.clone(),
            };
            account
                .record_firing(&firing)
                .await
                .map_err(|fault| unanswered(RefusalCode::Record, &fault))?;
        }
    }
    Ok(Answer {
        dry_run: request.dry_run,
        estimate: estimate(&policy, &plan, fired_at, &request.assumptions),
        policy_id: plan.policy_id,
        schedule_name: plan.schedule_name,
        schedule_names: plan.schedule_names,
        nominal_time: plan.nominal,
        enabled: plan.enabled,
        runs: orders,
        left_out: serde_json::to_value(&plan.left_out).unwrap_or_default(),
        warnings: plan.warnings,
        next_firings: plan.next_firings,
        api_calls: serde_json::to_value(&plan.api_calls).unwrap_or_default(),
    })
}

/// Every run is expected from here on: what becomes of its request, the guard finds it. One
/// that is on record already is a firing that was delivered twice.
async fn put_on_record<A: Account>(
    account: &A,
    orders: &[Order],
    request_id: &str,
) -> Result<(), Refusal> {
    let now_ms = account.now_ms();
    let lease = Lease {
        driver: format!("planner/{request_id}"),
        until_ms: 0,
        due_ms: now_ms + DUE_AFTER_MS,
    };
    let runs: Vec<Run> = orders.iter().map(|order| Run::new(order.clone(), now_ms)).collect();
    let lease = &lease;
    let saves = runs.into_iter().map(|run| async move {
        match account.save(&run, None, lease).await {
            Ok(_) | Err(SaveFault::Overtaken) => Ok(()),
            Err(SaveFault::Fault(fault)) => Err(fault),
        }
    });
    let mut saves = pin!(stream::iter(saves).buffer_unordered(RECORDS_AT_ONCE));
    while let Some(saved) = saves.next().await {
        saved.map_err(|fault| unanswered(RefusalCode::Record, &fault))?;
    }
    Ok(())
}

async fn policy<A: Account>(account: &A, policy: &PolicyRef) -> Result<Policy, Refusal> {
    let (id, json) = match policy {
        PolicyRef::Inline(json) => (INLINE_POLICY_ID, json.clone()),
        PolicyRef::Id(id) => {
            let json = account.policy_json(id).await.map_err(|fault| {
                let missing = fault.code == "ParameterNotFound";
                let code = if missing { RefusalCode::NoPolicy } else { RefusalCode::Inventory };
                unanswered(code, &fault)
            })?;
            (id.as_str(), json)
        }
    };
    parse(id, &json).map_err(|errors| refuse(RefusalCode::Policy, &errors))
}

/// When a set of this schedule goes, if it is kept by age. Fixed here and now, as with DLM: a rule
/// that is changed later is for later sets.
fn expires_at(policy: &Policy, schedule: &str, fired_at: Timestamp) -> Option<String> {
    match policy.schedule(Some(schedule))?.retain {
        Retain::Count(_) => None,
        Retain::Age(age) => Some(format!("{:.3}", age.end(fired_at))),
    }
}

fn order(plan: &Plan, run: &PlannedRun, expires_at: Option<&str>) -> Order {
    let expires_at = expires_at.map(|time| (tags::EXPIRES_AT.to_owned(), time.to_owned()));
    Order {
        run_id: ids::run_id(&plan.policy_id, &plan.schedule_name, &plan.nominal, &run.instance_id),
        policy_id: plan.policy_id.clone(),
        schedule_name: plan.schedule_name.clone(),
        nominal_time: plan.nominal.clone(),
        start_before_ms: plan.start_before_ms,
        instance_id: run.instance_id.clone(),
        volumes: run
            .volumes
            .iter()
            .map(|volume| Volume {
                volume_id: volume.volume_id.clone(),
                device: volume.device.clone(),
                boot: volume.boot,
                size_gib: volume.size_gib,
            })
            .collect(),
        left_out: run
            .left_out_volumes
            .iter()
            .map(|volume| LeftOutVolume {
                volume_id: volume.volume_id.clone(),
                device: volume.device.clone(),
                reason: volume.reason.clone(),
            })
            .collect(),
        exclude_boot_volume: run.exclude_boot_volume,
        exclude_data_volume_ids: run.exclude_data_volume_ids.clone(),
        copy_tags: run.copy_tags,
        tags: run.tags.clone().into_iter().chain(expires_at).collect(),
        require_application: plan.require_application_consistency,
        script: run.script.as_ref().map(|script| Script {
            document: script.document.clone(),
            handler: match script.handler {
                Handler::Document | Handler::SapHana => stillpoint_run::Handler::PrePost,
                Handler::Vss => stillpoint_run::Handler::Vss,
            },
            parameters: script.parameters.clone(),
            pre: script.pre,
            post: script.post,
            timeout_secs: script.timeout_secs,
            retries: script.retries,
            fallback: script.fallback,
            skip: script.skip.clone(),
        }),
    }
}

/// A refused firing must not be silent: its schedule has nobody who reads the answer.
async fn record<A: Account>(account: &A, event: &Value, request_id: &str, refusal: &Refusal) {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let nominal = match text("scheduledTime") {
        none if none.is_empty() => format!("on-demand:{request_id}"),
        scheduled => scheduled,
    };
    let key = format!("{} {} {nominal}", text("policyId"), text("schedule"));
    let finished = RunFinished {
        policy_id: text("policyId"),
        schedule_name: text("schedule"),
        nominal_time: nominal,
        ..RunFinished::refused(
            ids::refusal_id("firing", &key),
            refusal.code.as_str(),
            refusal.text.clone(),
            account.now_ms(),
        )
    };
    let detail = serde_json::to_string(&finished).unwrap_or_default();
    if let Err(fault) = account.publish(RUN_FINISHED, vec![detail]).await {
        tracing::error!(%fault, "the refusal could not be published");
    }
}

fn refuse(code: RefusalCode, errors: &[impl Display]) -> Refusal {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Refusal { code, text: lines.join("\n") }
}

fn unanswered(code: RefusalCode, fault: &Fault) -> Refusal {
    Refusal { code, text: fault.to_string() }
}

fn timestamp(now_ms: u64) -> Timestamp {
    let now_ms = i64::try_from(now_ms).unwrap_or(0);
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}
