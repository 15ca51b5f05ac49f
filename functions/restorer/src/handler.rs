//! One invocation: an order from the bus, a request by hand or by a schedule, or a sweep.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Clock;
use stillpoint_restore::{Job, Order, RefusalCode, Refused};
use stillpoint_upkeep::jobs::outside::Jobs;
use stillpoint_upkeep::jobs::prepare::{Prepared, prepare};
use stillpoint_upkeep::jobs::{Advance, Limits, Request, advance, resume};
use stillpoint_upkeep::outside::Fault;
use stillpoint_wire::job_event::RESTORE_REQUESTED;

use crate::metrics;

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// What would be done.
    Plan(Box<Prepared>),
    /// A job that is over.
    Job(Box<Job>),
    /// A job that somebody goes on with.
    UnderWay {
        /// Its id.
        job_id: String,
    },
    /// The jobs that were gone on with, and are over or not.
    Swept {
        /// Their ids.
        job_ids: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Requested {
    order: Order,
}

/// Handles one invocation, which ends at `dead_at_ms` at the latest.
///
/// # Errors
/// Why nothing was begun, or why what was begun goes on only with its next driver.
pub async fn handle(
    cloud: &Cloud,
    event: &Value,
    request_id: &str,
    dead_at_ms: u64,
) -> Result<Answer, Refused> {
    let answer = carry_out(cloud, event, request_id, dead_at_ms).await;
    if let Err(refused) = &answer {
        let (code, text) = (refused.code.as_str(), refused.lines.join("\n"));
        tracing::error!(code, text, "refused");
    }
    answer
}

async fn carry_out(
    cloud: &Cloud,
    event: &Value,
    request_id: &str,
    dead_at_ms: u64,
) -> Result<Answer, Refused> {
    let limits = Limits { driver: request_id.to_owned(), dead_at_ms };
    if event.get("source").and_then(Value::as_str) == Some("aws.events") {
        return sweep(cloud, &limits).await;
    }
    let detail_type = event.get("detail-type").and_then(Value::as_str);
    let order = if detail_type == Some(RESTORE_REQUESTED) {
        let detail = event.get("detail").cloned().unwrap_or_default();
        let requested: Requested = serde_json::from_value(detail)
            .map_err(|error| Refused::new(RefusalCode::Request, format!("detail: {error}")))?;
        requested.order
    } else {
        let request: Request = serde_json::from_value(event.clone())
            .map_err(|error| Refused::new(RefusalCode::Request, error.to_string()))?;
        let prepared = prepare(cloud, &request, request_id).await?;
        if request.dry_run {
            return Ok(Answer::Plan(Box::new(prepared)));
        }
        prepared.order
    };
    let job_id = order.id.clone();
    let advanced = advance(cloud, order, &limits).await.map_err(interrupted)?;
    Ok(answer(cloud, job_id, advanced))
}

fn interrupted(fault: Fault) -> Refused {
    Refused::new(RefusalCode::Interrupted, fault.to_string())
}

fn answer(cloud: &Cloud, job_id: String, advanced: Advance) -> Answer {
    match advanced {
        Advance::Finished(job) => {
            metrics::finished(&job, cloud.now_ms());
            Answer::Job(job)
        }
        Advance::AlreadyFinished(job) => Answer::Job(job),
        Advance::Busy | Advance::Later(_) => Answer::UnderWay { job_id },
    }
}

/// Goes on with every job that nobody drives. One that cannot go on does not stop the others.
async fn sweep(cloud: &Cloud, limits: &Limits) -> Result<Answer, Refused> {
    let unfinished = cloud.unfinished_jobs().await.map_err(interrupted)?;
    let mut job_ids = vec![];
    for job_id in unfinished {
        match resume(cloud, &job_id, limits).await {
            Ok(Some(Advance::Busy) | None) => {}
            Ok(Some(advanced)) => {
                answer(cloud, job_id.clone(), advanced);
                job_ids.push(job_id);
            }
            Err(fault) => tracing::error!(job_id, %fault, "it goes on with the next sweep"),
        }
    }
    Ok(Answer::Swept { job_ids })
}
