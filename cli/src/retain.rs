//! `stillpoint retain`: the reaper's own plan, with the operator's own rights, which only read; then
//! the reaper is asked to carry it out, since its role alone may delete. `retain adopt` takes over
//! sets that DLM made.

mod adopt;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use stillpoint_aws::Cloud;
use stillpoint_aws::outside::{Bus, Clock};
use stillpoint_retention::{Action, Decision};
use stillpoint_upkeep::reaper::{Done, Report};
use stillpoint_upkeep::retention::{Regions, plan};
use stillpoint_wire::event::RETENTION_REQUESTED;

use crate::{Context, Exit, Failure, Out, Table};

const HOUR_MS: u64 = 60 * 60 * 1_000;
const LOOK_MS: u64 = 1_000;
/// The reaper begins within seconds and has 14 minutes.
const REPORTED_WITHIN_MS: u64 = 20 * 60 * 1_000;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Retain {
    #[command(subcommand)]
    what: Option<What>,
    /// Only show the plan.
    #[arg(long)]
    dry_run: bool,
    /// Carry it out without asking.
    #[arg(long)]
    yes: bool,
    /// Hours between the mark on a set and its deletion that the plan reckons with; the reaper goes
    /// by the stack's RetentionGraceHours.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    grace_hours: u64,
    /// Only the sets of this policy are shown.
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Takes over the sets that a policy of Data Lifecycle Manager made.
    Adopt(adopt::Adopt),
}

pub(crate) async fn go(retain: Retain, context: &Context) -> Result<Exit, Failure> {
    if let Some(What::Adopt(adopt)) = retain.what {
        return adopt::go(adopt, context).await;
    }
    if retain.policy.is_some() && !retain.dry_run {
        let allowed = "it with --dry-run: what is deleted is decided about all policies";
        return Err(Failure::bad_input("--policy", "it", allowed));
    }
    let cloud = context.cloud().await?;
    let grace_ms = retain.grace_hours.saturating_mul(HOUR_MS);
    let mut regions = plan(&cloud, grace_ms).await?;
    if let Some(policy) = &retain.policy {
        for plan in regions.regions.values_mut() {
            plan.decisions.retain(|one| one.policy_id == *policy);
        }
    }
    if retain.dry_run && context.out.json {
        context.out.print_json(&regions)?;
        return Ok(Exit::Done);
    }
    if !context.out.json {
        context.out.print(&render(&regions, &context.out))?;
    }
    if retain.dry_run || !(retain.yes || confirmed("carry this out?")?) {
        return Ok(Exit::Done);
    }
    let request_id = context.request_id();
    let detail = json!({ "requestId": request_id }).to_string();
    cloud.publish(RETENTION_REQUESTED, vec![detail]).await?;
    context.out.note("the reaper is asked to carry it out");
    let done = match reported(&cloud, &request_id).await? {
        Report::Done(done) => done,
        Report::NothingChanged(why) => {
            return Err(Failure::failed(format!("nothing was changed: {why}")));
        }
    };
    if context.out.json {
        context.out.print_json(&done)?;
    } else {
        context.out.print(&told(&done))?;
    }
    Ok(if done.failed.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Waits until the reaper has said what it did.
async fn reported(cloud: &Cloud, request_id: &str) -> Result<Report, Failure> {
    let asked_ms = cloud.now_ms();
    while cloud.now_ms() < asked_ms + REPORTED_WITHIN_MS {
        if let Some(report) = cloud.retention_report(request_id).await? {
            return Ok(report);
        }
        cloud.sleep_ms(LOOK_MS).await;
    }
    Err(Failure::failed(
        "the reaper has not said what it did within 20 min: the rule stillpoint-retention-requested \
         or the reaper did not take it; its log group is /aws/lambda/stillpoint-reaper",
    ))
}

/// Asks on the terminal; whoever cannot be asked has to say it beforehand.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !console::Term::stdout().is_term() {
        let allowed = "it, or --dry-run, where there is no terminal to ask on";
        return Err(Failure::bad_input("--yes", "nothing", allowed));
    }
    let mut stderr = std::io::stderr().lock();
    drop(write!(stderr, "{question} [y/N] "));
    drop(stderr.flush());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(Failure::failed)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

fn render(regions: &Regions, out: &Out) -> String {
    let mut text = String::new();
    for (region, plan) in &regions.regions {
        let going = plan.decisions.iter().filter(|one| one.goes()).count();
        let title = format!("{region}: {} sets, {going} of them go", plan.decisions.len());
        text += &format!("{}\n", out.paint.bold(&title));
        let mut table = Table::indented(2);
        for decision in &plan.decisions {
            table.row(row(decision, out));
        }
        text += &table.render(out.width);
    }
    text
}

fn row(decision: &Decision, out: &Out) -> [String; 6] {
    let action = decision.action.to_string();
    let painted = match decision.action {
        Action::Keep => out.paint.good(&action),
        Action::Unmark | Action::Mark { .. } | Action::Wait { .. } => out.paint.warn(&action),
        Action::Delete => out.paint.bad(&action),
    };
    let mut reason = decision.reason.to_string();
    if let Action::Mark { delete_after_ms } | Action::Wait { delete_after_ms } = decision.action {
        reason += &format!("; deleted after {}", time(delete_after_ms));
    }
    [
        painted,
        time(decision.started_ms),
        decision.policy_id.clone(),
        decision.instance_id.clone(),
        decision.set_id.clone(),
        reason,
    ]
}

fn told(done: &Done) -> String {
    let deleted: u64 = done.deleted.values().sum();
    let failed: u64 = done.failed.values().sum();
    format!(
        "{deleted} snapshots deleted, {failed} not deleted; {} sets marked, {} unmarked; {} volumes \
         and instances of restores cleared away{}\n",
        done.marked,
        done.unmarked,
        done.discarded.len(),
        if done.out_of_time { "; the rest within 15 min" } else { "" }
    )
}

pub(crate) fn time(ms: u64) -> String {
    stillpoint_wire::time::rfc3339(ms)
}
