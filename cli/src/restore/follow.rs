//! The progress of a job, as its record tells it.

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Clock;
use stillpoint_restore::{Job, Order, Phase, Verdict};
use stillpoint_upkeep::jobs::outside::Jobs;

use crate::{Context, Exit, Failure};

const LOOK_MS: u64 = 1_000;
/// The event reaches the restorer within seconds, or it never does.
const BEGIN_MS: u64 = 120_000;

/// Shows each phase as it begins, until the job is over.
///
/// # Errors
/// When the restorer does not begin. The job goes on, whether or not anybody looks.
pub(super) async fn follow(
    cloud: &Cloud,
    order: &Order,
    context: &Context,
) -> Result<Exit, Failure> {
    let asked_ms = cloud.now_ms();
    let mut shown = None;
    loop {
        let job = cloud.load_job(&order.id).await?.map(|recorded| recorded.job);
        if job.is_none() && cloud.now_ms() - asked_ms > BEGIN_MS {
            let text = format!("{}: stillpoint-restorer has not begun it", order.id);
            return Err(Failure::failed(text));
        }
        if let Some(job) = job {
            if shown != Some(job.phase) && !context.out.json {
                context.out.print(&format!("  {}\n", words(job.phase)))?;
            }
            shown = Some(job.phase);
            if job.phase >= Phase::Settle {
                return end(&job, context);
            }
        }
        cloud.sleep_ms(LOOK_MS).await;
    }
}

fn end(job: &Job, context: &Context) -> Result<Exit, Failure> {
    if context.out.json {
        context.out.print_json(job)?;
    } else {
        let paint = context.out.paint;
        let told = match &job.verdict {
            Some(Verdict::Good) | None => paint.good("done"),
            Some(Verdict::Bad { exit_code, why }) => {
                paint.bad(&format!("the set is no good: {why} (exit code {exit_code})"))
            }
            Some(Verdict::NotDone { why }) => paint.bad(&format!("not done: {why}")),
        };
        let mut text = format!("{told}\n");
        for (device, volume_id) in job.volumes.iter().filter(|_| !job.order.is_drill()) {
            text += &format!("  {device} {volume_id}\n");
        }
        for line in job.loose_ends() {
            text += &format!("  {} {line}\n", paint.bad("attention"));
        }
        context.out.print(&text)?;
    }
    Ok(if job.verdict == Some(Verdict::Good) { Exit::Done } else { Exit::Failed })
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Launch => "launching the instance",
        Phase::Create => "making the volumes",
        Phase::Stop => "stopping the instance",
        Phase::Detach => "detaching the old volumes",
        Phase::Attach => "attaching the new volumes",
        Phase::Start => "starting the instance",
        Phase::Verify => "verifying the copies",
        Phase::Keep => "taking the mark for deletion off",
        Phase::TakeOut => "taking the new volumes out again",
        Phase::PutBack => "putting the old volumes back",
        Phase::StartAgain => "starting the instance as it was",
        Phase::Release => "detaching the copies",
        Phase::Discard => "marking what is of no use",
        Phase::Report => "reporting",
        Phase::Settle => "clearing up",
        Phase::Done => "over",
    }
}
