//! `stillpoint retain adopt`: sets that DLM made, taken over by a policy here.

use clap::Args;
use stillpoint_aws::outside::Planning;
use stillpoint_policy::parse;
use stillpoint_upkeep::adopt::{Adoption, adopt, plan};

use super::{confirmed, time};
use crate::{Context, Exit, Failure, Out, Table};

#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The policy in DLM.
    #[arg(long, value_name = "policy-...")]
    from: String,
    /// The policy here, whose schedules have the same names.
    #[arg(long, value_name = "ID")]
    policy: String,
    /// Only show what would be taken over.
    #[arg(long)]
    dry_run: bool,
    /// Take them over without asking.
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn go(args: Adopt, context: &Context) -> Result<Exit, Failure> {
    let cloud = context.cloud().await?;
    let json = cloud.policy_json(&args.policy).await?;
    let policy = parse(&args.policy, &json)
        .map_err(|errors| Failure::BadInput(errors.iter().map(ToString::to_string).collect()))?;
    let adoption = plan(&cloud, &args.from, &policy).await?;
    if args.dry_run && context.out.json {
        context.out.print_json(&adoption)?;
        return Ok(Exit::Done);
    }
    if !context.out.json {
        context.out.print(&render(&adoption, &context.out))?;
    }
    if args.dry_run || adoption.sets.is_empty() || !(args.yes || confirmed("take them over?")?) {
        return Ok(Exit::Done);
    }
    let mut taken = 0;
    let result = adopt(&cloud, &adoption, |_| taken += 1).await;
    if context.out.json {
        context.out.print_json(&adoption)?;
    } else {
        context.out.print(&format!("{taken} of {} sets taken over\n", adoption.sets.len()))?;
    }
    result?;
    Ok(Exit::Done)
}

fn render(adoption: &Adoption, out: &Out) -> String {
    let title = format!("{} sets can be taken over", adoption.sets.len());
    let mut text = format!("{}\n", out.paint.bold(&title));
    let mut table = Table::indented(2);
    for set in &adoption.sets {
        table.row([
            time(set.started_ms),
            set.instance_id.clone(),
            set.schedule_name.clone(),
            set.consistency.to_owned(),
            format!("{} snapshots", set.snapshots.len()),
        ]);
    }
    text += &table.render(out.width);
    if !adoption.left_out.is_empty() {
        let title = format!("{} snapshots are left out", adoption.left_out.len());
        text += &format!("{}\n", out.paint.bold(&title));
        let mut table = Table::indented(2);
        for (snapshot_id, reason) in &adoption.left_out {
            table.row([snapshot_id.as_str(), reason.as_str()]);
        }
        text += &table.render(out.width);
    }
    text
}
