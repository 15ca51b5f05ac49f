//! Each deployed policy: whether it can be read, whom it matches, whether its document can be sent
//! to them, whether its runs fit into their start window, and what it asks of EC2.

use serde_json::{Map, Value};
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Clock;
use stillpoint_planner::Answer;
use stillpoint_policy::{Policy, parse};
use stillpoint_run::{Order, Script};

use super::documents;
use super::finding::Finding;
use super::load::{Load, window_ms};
use crate::plan;

/// Runs that are driven at a time: infra/template.yaml, 10 runners with 50 messages each.
const RUNS_AT_A_TIME: u64 = 500;
/// What one run needs beside its scripts: commands on their way, CreateSnapshots, tags.
const AROUND_MS: u64 = 15_000;

/// Where a plan's own words say what to do, if anything.
const PLAN: &str = "stillpoint plan shows it with the rest of the firing; docs/POLICIES.md";

/// What is said of a policy.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    /// The orders of one firing of each schedule.
    pub(super) orders: Vec<Order>,
    /// What it asks of EC2.
    pub(super) load: Load,
}

pub(super) async fn examine(cloud: &Cloud, id: &str, json: &str) -> Examined {
    let subject = format!("policy {id}");
    let mut examined = Examined::default();
    let found = &mut examined.findings;
    let policy = match parse(id, json) {
        Ok(policy) => policy,
        Err(errors) => {
            let remedy = "stillpoint policy check FILE, then make policy";
            found.extend(
                errors.iter().map(|error| Finding::bad(&subject, error.to_string(), remedy)),
            );
            return examined;
        }
    };
    if !policy.enabled() {
        found.push(Finding::warn(
            &subject,
            format!("is {}: it makes no snapshots", policy.state.name()),
            "set State to ENABLED in its document",
        ));
        return examined;
    }
    for schedule in &policy.schedules {
        let mut event = Map::new();
        event.insert("policyId".to_owned(), id.into());
        event.insert("schedule".to_owned(), schedule.name.clone().into());
        let answer = match plan::ask(cloud, &event, true, "doctor").await {
            Ok(answer) => answer,
            Err(failure) => {
                found.extend(failure.lines().iter().map(|line| {
                    let text = format!("schedule {} cannot be planned: {line}", schedule.name);
                    Finding::bad(&subject, text, "docs/codes has a page for the code")
                }));
                continue;
            }
        };
        let now_ms = cloud.now_ms();
        let window_ms = window_ms(&answer, now_ms);
        found.extend(targets(&subject, &policy, &answer));
        found.extend(pace(&subject, &answer, window_ms));
        if examined.load.firings.is_empty() {
            examined.load = Load::of(&policy, &answer, window_ms, now_ms);
        }
        examined.orders.extend(answer.runs);
    }
    found.extend(documents::examine(cloud, &subject, &examined.orders).await);
    examined
}

fn targets(subject: &str, policy: &Policy, answer: &Answer) -> Vec<Finding> {
    let mut found: Vec<_> =
        answer.warnings.iter().map(|one| Finding::warn(subject, one.clone(), PLAN)).collect();
    let tags: Vec<_> =
        policy.target_tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    let (schedule, count) = (&answer.schedule_name, answer.runs.len());
    if count == 0 {
        found.push(Finding::bad(
            subject,
            format!("schedule {schedule} matches no instance"),
            if tags.is_empty() {
                "all instances have a recent backup, or ExcludeTags leaves them out".to_owned()
            } else {
                format!("tag instances with {}, or correct TargetTags", tags.join(" or "))
            },
        ));
    } else {
        found.push(Finding::good(
            subject,
            format!("schedule {schedule} matches {count} instance(s)"),
        ));
    }
    for one in answer.left_out.as_array().map(Vec::as_slice).unwrap_or_default() {
        let field = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let text = format!("left out by {schedule}: {}", field("reason"));
        found.push(Finding::warn(field("instanceId"), text, PLAN));
    }
    for order in &answer.runs {
        if let Some(Script { skip: Some(skip), fallback, document, .. }) = &order.script {
            let then =
                if *fallback { "its sets are crash-consistent" } else { "it gets no snapshot" };
            found.push(Finding::bad(
                &order.instance_id,
                format!("{document} cannot run: {skip}; {then}"),
                "docs/codes/SP3001.md",
            ));
        }
    }
    found
}

/// Whether the last run of a firing begins within its start window, should every script use all its
/// time.
fn pace(subject: &str, answer: &Answer, window_ms: u64) -> Option<Finding> {
    let longest = |order: &Order| {
        let script = order.runnable_script();
        script.map_or(0, |one| 2_000 * u64::from(one.timeout_secs) * u64::from(one.retries + 1))
    };
    let a_run_ms = answer.runs.iter().map(longest).max().unwrap_or(0) + AROUND_MS;
    let count = u64::try_from(answer.runs.len()).unwrap_or(u64::MAX);
    let last_begins_ms = count.saturating_sub(1) / RUNS_AT_A_TIME * a_run_ms;
    (last_begins_ms > window_ms).then(|| {
        Finding::warn(
            subject,
            format!(
                "schedule {} fires {count} runs at once; {RUNS_AT_A_TIME} are driven at a time, so that \
                 the last begins after up to {} min, and a run fails that has not begun after {}",
                answer.schedule_name,
                last_begins_ms.div_ceil(60_000),
                window_ms / 60_000
            ),
            "spread the targets over several policies, or shorten ExecutionTimeout and MaximumRetryCount",
        )
    })
}
