//! The agents: a dry-run of each target's own document, and what it says. Nothing is frozen by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::{CommandState, Commands, Fault, Progress, SendCommand};
use stillpoint_run::Order;
use tokio::task::JoinSet;

use super::finding::Finding;
use crate::Out;

const OURS: &str = env!("CARGO_PKG_VERSION");
/// A command that is not delivered by then never ran.
const DELIVERY_SECS: u32 = 60;
const POLL: Duration = Duration::from_secs(1);
const POLLS_MAX: u32 = 90;
/// SSM grants a few commands a second.
const AT_A_TIME: usize = 10;
/// What the documents end with when there is no agent, or it is not ready.
const NOT_READY: i32 = 206;

/// Asks the agent of each order that would run one of our documents.
pub(super) async fn examine(cloud: &Cloud, orders: &[Order], out: &Out) -> Vec<Finding> {
    let mut asked: BTreeMap<(String, String), Order> = BTreeMap::new();
    for order in orders {
        let script = order.runnable_script();
        if let Some(script) = script.filter(|script| script.document.starts_with("Stillpoint-")) {
            let key = (order.instance_id.clone(), script.document.clone());
            asked.entry(key).or_insert_with(|| order.clone());
        }
    }
    let (mut found, mut running, total) = (vec![], JoinSet::new(), asked.len());
    let mut waiting = asked.into_iter();
    loop {
        while running.len() < AT_A_TIME {
            let Some(((_, document), order)) = waiting.next() else { break };
            let cloud = cloud.clone();
            running.spawn(async move {
                let answer = dry_run(&cloud, &order.instance_id, &document).await;
                (order, answer)
            });
        }
        let Some(done) = running.join_next().await else { break };
        if let Ok((order, answer)) = done {
            found.extend(judge(&order, answer));
            out.note(&format!(
                "{} of {total} agents answered",
                total - waiting.len() - running.len()
            ));
        }
    }
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    found
}

/// Sends it and waits for its end; none if it does not end.
async fn dry_run(
    cloud: &Cloud,
    instance_id: &str,
    document: &str,
) -> Result<Option<CommandState>, Fault> {
    let command = SendCommand {
        instance_id: instance_id.to_owned(),
        document: document.to_owned(),
        parameters: BTreeMap::from([("command".to_owned(), vec!["dry-run".to_owned()])]),
        comment: "stillpoint doctor".to_owned(),
        delivery_secs: DELIVERY_SECS,
    };
    let id = cloud.send(&command).await?;
    for _ in 0..POLLS_MAX {
        let state = cloud.state(&id, instance_id, None).await?;
        if !matches!(state.progress, Progress::Waiting | Progress::Running) {
            return Ok(Some(state));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(None)
}

fn judge(order: &Order, answer: Result<Option<CommandState>, Fault>) -> Vec<Finding> {
    let subject = &order.instance_id;
    let state = match answer {
        Err(fault) => return vec![Finding::bad(subject, fault.to_string(), "")],
        Ok(None) => {
            let remedy = "is its SSM agent running? docs/codes/SP3003.md";
            return vec![Finding::bad(subject, "did not answer within 90 s", remedy)];
        }
        Ok(Some(state)) => state,
    };
    let receipt: Option<Value> =
        state.stdout.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    let Some(receipt) = receipt else {
        let missing =
            state.exit_code == Some(NOT_READY) && state.stderr.contains("is not installed");
        return vec![if missing {
            Finding::bad(
                subject,
                "stillpoint-agent is not installed",
                "make publish-agent, then send Stillpoint-InstallAgent to it (docs/QUICKSTART.md)",
            )
        } else {
            let text = format!("no receipt: {} {}", state.details, state.stderr.trim());
            Finding::bad(subject, text, "docs/codes/SP3009.md")
        }];
    };
    let word =
        |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut found = vec![];
    match word("agent") {
        version if version == OURS => {}
        version => found.push(Finding::warn(
            subject,
            format!("stillpoint-agent {version}, this command is {OURS}"),
            "send Stillpoint-InstallAgent to it",
        )),
    }
    if state.exit_code != Some(0) {
        found.push(Finding::bad(
            subject,
            format!("a pre-script would fail: {}", word("reason")),
            "docs/codes/exit-codes.md",
        ));
        return found;
    }
    let unfrozen = unfrozen(order, &receipt);
    for text in &unfrozen {
        found.push(Finding::bad(subject, text.clone(), "docs/codes/SP3013.md"));
    }
    if unfrozen.is_empty() {
        let mounts: Vec<_> =
            items(&receipt, "frozen").filter_map(|one| one.get("mount")?.as_str()).collect();
        found.push(Finding::good(subject, format!("would freeze {}", mounts.join(", "))));
    }
    found
}

/// Data volumes of the set of which something stays writable, each with the agent's reasons.
fn unfrozen(order: &Order, receipt: &Value) -> Vec<String> {
    let held: BTreeSet<&str> = items(receipt, "frozen")
        .flat_map(|one| items(one, "volumes").filter_map(Value::as_str))
        .collect();
    let reasons: Vec<String> = items(receipt, "leftOut")
        .filter_map(|one| {
            Some(format!("{}: {}", one.get("mount")?.as_str()?, one.get("why")?.as_str()?))
        })
        .collect();
    let data = order.volumes.iter().filter(|volume| !volume.boot);
    data.filter(|volume| !held.contains(volume.volume_id.as_str()))
        .map(|volume| {
            format!(
                "{} ({}) is in the set and cannot be frozen; left out: {}",
                volume.volume_id,
                volume.device,
                if reasons.is_empty() {
                    "nothing is mounted from it".to_owned()
                } else {
                    reasons.join("; ")
                }
            )
        })
        .collect()
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
