//! The agents: a dry-run of each target's own document, and its answer. Nothing is frozen by it.

use std::collections::BTreeMap;
use std::time::Duration;

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::{Clock, Commands, Fault, Progress, SendCommand};
use stillpoint_run::Order;
use tokio::task::JoinSet;

use super::answer::{Answered, judge};
use super::finding::Finding;
use crate::Out;

/// A command that is not delivered by then never ran.
const DELIVERY_SECS: u32 = 60;
const POLL: Duration = Duration::from_secs(1);
const POLLS_MAX: u32 = 90;
/// SSM grants a few commands a second.
const AT_A_TIME: usize = 10;

/// Asks the agent of each order that would run one of our documents. This machine's clock is
/// `ahead_ms` ahead of AWS's.
pub(super) async fn examine(
    cloud: &Cloud,
    orders: &[Order],
    ahead_ms: i64,
    out: &Out,
) -> Vec<Finding> {
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
            found.extend(judge(&order, answer, ahead_ms));
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
) -> Result<Option<Answered>, Fault> {
    let command = SendCommand {
        instance_id: instance_id.to_owned(),
        document: document.to_owned(),
        parameters: BTreeMap::from([("command".to_owned(), vec!["dry-run".to_owned()])]),
        comment: "stillpoint doctor".to_owned(),
        delivery_secs: DELIVERY_SECS,
    };
    let sent_ms = cloud.now_ms();
    let id = cloud.send(&command).await?;
    for _ in 0..POLLS_MAX {
        let state = cloud.state(&id, instance_id, None).await?;
        if !matches!(state.progress, Progress::Waiting | Progress::Running) {
            return Ok(Some(Answered { state, sent_ms, got_ms: cloud.now_ms() }));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(None)
}
