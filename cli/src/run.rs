//! `stillpoint run`: a firing on demand.
//!
//! The planner is not called but asked, by an event on our bus that a rule hands to it. So the
//! operator needs no more than to read and to put events of that one type: the ledger, the
//! snapshots and the instances stay out of reach, and what is run is what the planner makes of
//! the policy, under its own role. The plan that is shown before is made by the same code with
//! the operator's own reading rights, and the run ids in it are those of the runs to come,
//! since both share the request's id.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Bus;
use stillpoint_planner::Answer;
use stillpoint_run::Outcome;
use stillpoint_wire::event::FIRING_REQUESTED;

use crate::plan::{Narrowed, ask, event, render};
use crate::progress::Progress;
use crate::{Context, Exit, Failure, runs};

/// How often a run is looked at. The ledger is written a few times a run.
const LOOK: Duration = Duration::from_millis(500);
/// A run that is not on record by then was not taken: EventBridge and the planner take seconds.
const TAKEN_WITHIN_MS: u64 = 120_000;
/// A run begins within its start window or not at all, and ends with the runner's invocation.
const AFTER_WINDOW_MS: u64 = 20 * 60 * 1_000;

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The policy: the id of one that is deployed, or a file.
    #[arg(value_name = "POLICY")]
    policy: String,
    #[command(flatten)]
    narrowed: Narrowed,
    /// Only say what would be done, as `stillpoint plan`.
    #[arg(long)]
    dry_run: bool,
    /// Stay until every run has its outcome; exit 1 if one is not `completed`.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

pub(crate) async fn go(run: Run, context: &Context) -> Result<Exit, Failure> {
    let out = &context.out;
    let request_id = context.request_id();
    let mut event = event(&run.policy, &run.narrowed)?;
    event.insert("requestId".to_owned(), request_id.clone().into());
    let cloud = context.cloud().await?;
    let answer = ask(&cloud, &event, true, &request_id).await?;
    if run.dry_run || answer.runs.is_empty() {
        if out.json {
            out.print_json(&answer)?;
        } else {
            out.print(&render(&answer, out))?;
        }
        return Ok(if run.dry_run { Exit::Done } else { Exit::Failed });
    }
    let detail = serde_json::to_string(&event).map_err(Failure::failed)?;
    cloud.publish(FIRING_REQUESTED, vec![detail]).await?;
    if run.wait {
        return follow(&cloud, &answer, context).await;
    }
    let ids: Vec<&str> = answer.runs.iter().map(|order| order.run_id.as_str()).collect();
    if out.json {
        out.print_json(&json!({ "requestId": request_id, "runIds": ids }))?;
    } else {
        let lines: Vec<String> = answer
            .runs
            .iter()
            .map(|order| format!("{}  {}\n", order.run_id, order.instance_id))
            .collect();
        out.print(&lines.concat())?;
        out.note("requested; stillpoint show RUN tells how it went");
    }
    Ok(Exit::Done)
}

/// Looks until every run has its outcome.
async fn follow(cloud: &Cloud, answer: &Answer, context: &Context) -> Result<Exit, Failure> {
    let asked_ms = context.now_ms();
    let last_ms = answer.runs.iter().map(|order| order.start_before_ms).max().unwrap_or(asked_ms);
    let ids: Vec<String> = answer.runs.iter().map(|order| order.run_id.clone()).collect();
    let mut progress = Progress::new(&answer.runs, context.out);
    loop {
        let now_ms = context.now_ms();
        let rows = cloud.rows(&ids).await?;
        let open: Vec<String> = ids
            .iter()
            .filter(|id| rows.get(*id).is_some_and(|row| row.outcome.is_none()))
            .cloned()
            .collect();
        let made = cloud.snapshots_made(&open).await?;
        progress.show(&rows, &made, now_ms)?;
        if ids.iter().all(|id| rows.get(id).is_some_and(|row| row.outcome.is_some())) {
            progress.end()?;
            let rows: Vec<_> = ids.iter().filter_map(|id| rows.get(id).cloned()).collect();
            if context.out.json {
                context.out.print_json(&rows)?;
            } else {
                context.out.print(&runs::render(&rows, now_ms, &context.out))?;
            }
            let good = rows.iter().all(|row| row.outcome == Some(Outcome::Completed));
            return Ok(if good { Exit::Done } else { Exit::Failed });
        }
        let missing = ids.iter().filter(|id| !rows.contains_key(*id)).count();
        if missing == ids.len() && now_ms > asked_ms + TAKEN_WITHIN_MS {
            progress.end()?;
            return Err(Failure::failed(
                "no run is on record 2 minutes after the request: the rule \
                 stillpoint-firing-requested or the planner did not take it; its log group is \
                 /aws/lambda/stillpoint-planner",
            ));
        }
        if now_ms > last_ms + AFTER_WINDOW_MS {
            progress.end()?;
            return Err(Failure::failed(format!(
                "{} of {} runs have no outcome although their time is over: stillpoint runs",
                ids.len() - rows.values().filter(|row| row.outcome.is_some()).count(),
                ids.len()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
