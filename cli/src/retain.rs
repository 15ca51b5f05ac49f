//! `stillpoint retain`: the reaper's own plan, with the operator's own rights, and the reaper's
//! own way of carrying it out; `retain adopt` takes over sets that DLM made.

mod adopt;

use std::io::Write;

use clap::{Args, Subcommand};
use stillpoint_aws::outside::Clock;
use stillpoint_retention::{Action, Decision};
use stillpoint_upkeep::reaper::{Done, Limits, Regions, plan, reap};

use crate::{Context, Exit, Failure, Out, Table};

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// An operator waits for it; what is left is the reaper's.
const PATIENCE_MS: u64 = HOUR_MS;

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
    /// Hours between the mark on a set and its deletion, as the stack's RetentionGraceHours.
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
    let limits = Limits { grace_ms, stop_at_ms: cloud.now_ms() + PATIENCE_MS };
    let done = reap(&cloud, limits).await?;
    if context.out.json {
        context.out.print_json(&done)?;
    } else {
        context.out.print(&told(&done))?;
    }
    Ok(if done.failed.is_empty() { Exit::Done } else { Exit::Failed })
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
         and instances of restores cleared away\n",
        done.marked,
        done.unmarked,
        done.discarded.len()
    )
}

pub(crate) fn time(ms: u64) -> String {
    stillpoint_wire::time::rfc3339(ms)
}
