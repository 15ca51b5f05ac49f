//! Each deployed policy: whether it can be read, whom it matches, whether its document can be sent
//! to them, and whether its runs fit into their hour.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Fault;
use stillpoint_planner::Answer;
use stillpoint_policy::{Policy, parse};
use stillpoint_run::{Order, Script};

use super::finding::Finding;
use super::grants;
use crate::plan;

/// Runs that are driven at a time: infra/template.yaml, 10 runners with 50 messages each.
const RUNS_AT_A_TIME: usize = 500;
/// A run may start within this of its time, as with DLM.
const START_WITHIN_SECS: usize = 3600;
/// What one run needs beside its scripts: commands on their way, CreateSnapshots, tags.
const AROUND_SECS: usize = 15;
/// The tag with which a document's owner lets DLM, and the runner, send it.
const MARK: &str = "DLMScriptsAccess";

/// Where a plan's own words say what to do, if anything.
const PLAN: &str = "stillpoint plan shows it with the rest of the firing; docs/POLICIES.md";

/// What was found, and the orders of one firing.
pub(super) async fn examine(cloud: &Cloud, id: &str, json: &str) -> (Vec<Finding>, Vec<Order>) {
    let subject = format!("policy {id}");
    let policy = match parse(id, json) {
        Ok(policy) => policy,
        Err(errors) => {
            let bad = |error: &stillpoint_policy::FieldError| {
                Finding::bad(
                    &subject,
                    error.to_string(),
                    "stillpoint policy check FILE, then make policy",
                )
            };
            return (errors.iter().map(bad).collect(), vec![]);
        }
    };
    let mut found = vec![];
    if !policy.enabled() {
        found.push(Finding::warn(
            &subject,
            format!("is {}: it makes no snapshots", policy.state.name()),
            "set State to ENABLED in its document",
        ));
    }
    let mut orders = vec![];
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
        found.extend(targets(&subject, &policy, &answer));
        found.extend(pace(&subject, &answer));
        orders.extend(answer.runs);
    }
    for document in documents(&orders) {
        found.push(sendable(cloud, &subject, &document).await);
    }
    (found, orders)
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
            format!("tag instances with {}, or correct TargetTags", tags.join(" or ")),
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

/// Whether the last run of a firing begins within its hour, should every script use all its time.
fn pace(subject: &str, answer: &Answer) -> Option<Finding> {
    let longest = |order: &Order| {
        let script = order.runnable_script();
        script.map_or(0, |script| 2 * script.timeout_secs as usize * (script.retries as usize + 1))
    };
    let a_run = answer.runs.iter().map(longest).max().unwrap_or(0) + AROUND_SECS;
    let before = answer.runs.len().saturating_sub(1) / RUNS_AT_A_TIME;
    let (count, last_begins) = (answer.runs.len(), before * a_run);
    (last_begins > START_WITHIN_SECS).then(|| {
        Finding::warn(
            subject,
            format!(
                "schedule {} fires {count} runs at once; {RUNS_AT_A_TIME} are driven at a time, so that \
                 the last begins after up to {} min, and a run fails that has not begun after 60",
                answer.schedule_name,
                last_begins.div_ceil(60)
            ),
            "spread the targets over several policies, or shorten ExecutionTimeout and MaximumRetryCount",
        )
    })
}

fn documents(orders: &[Order]) -> BTreeSet<String> {
    let scripts = orders.iter().filter_map(|order| order.script.as_ref());
    scripts.map(|script| script.document.clone()).collect()
}

/// The runner's role takes our own documents, AWS's, and those that are marked.
async fn sendable(cloud: &Cloud, subject: &str, name: &str) -> Finding {
    let marked = async {
        if !cloud.has_document(name).await? {
            return Ok(None);
        }
        if name.starts_with("Stillpoint-") || name.starts_with("AWS") {
            return Ok(Some(true));
        }
        let tags = cloud.document_tags(name).await?;
        Ok(Some(tags.get(MARK).is_some_and(|value| value == "true")))
    };
    match marked.await {
        Ok(Some(true)) => Finding::good(subject, format!("document {name} can be sent")),
        Ok(Some(false)) => Finding::bad(
            subject,
            format!("the runner may not send {name}: it has no tag {MARK}=true"),
            format!(
                "aws ssm add-tags-to-resource --resource-type Document --resource-id {name} \
                 --tags Key={MARK},Value=true"
            ),
        ),
        Ok(None) => Finding::bad(
            subject,
            format!("there is no SSM document {name} in this Region"),
            "create it, or name another ExecutionHandler; a shared one is named by its ARN",
        ),
        Err(fault) => unseen(subject, name, &fault),
    }
}

fn unseen(subject: &str, name: &str, fault: &Fault) -> Finding {
    if grants::is_denied(fault) {
        let action = format!("look at document {name} ({})", fault.text);
        return grants::missing(&action, "stillpoint doctor");
    }
    let remedy = "once more; if it stays, look at the document in Systems Manager";
    Finding::warn(subject, format!("document {name} could not be looked at: {fault}"), remedy)
}
