//! `stillpoint restore` and `stillpoint drill`: the plan with the operator's own rights, which only
//! read; then the restorer carries out that very plan, and its progress is shown.

mod follow;

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use serde::Serialize;
use stillpoint_aws::outside::Bus;
use stillpoint_restore::{Goal, Item, Order, Source};
use stillpoint_upkeep::jobs::prepare::{Prepared, Refusal, prepare};
use stillpoint_upkeep::jobs::{Becomes, Request};
use stillpoint_wire::event::EVENT_VERSION;
use stillpoint_wire::job_event::RESTORE_REQUESTED;

use crate::retain::{confirmed, time};
use crate::{Context, Exit, Failure, Out, Table};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("set").required(true).args(["run", "instance", "undo"])))]
#[command(group(ArgGroup::new("target").args(["to_volumes", "to_instance", "to_new_instance"])))]
pub(crate) struct Restore {
    /// The set of this run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The newest set of this instance.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Not newer than this, such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME", requires = "instance")]
    before: Option<String>,
    /// Only a set that is proven to be application-consistent.
    #[arg(long, requires = "instance")]
    application_consistent: bool,
    /// The way back of a restore into an instance: the volumes that it replaced.
    #[arg(long, value_name = "RESTORE")]
    undo: Option<String>,
    /// New volumes in this Availability Zone.
    #[arg(long, value_name = "ZONE")]
    to_volumes: Option<String>,
    /// The volumes of this instance; the set's own if none is named. It is stopped and started;
    /// its old volumes are kept.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    to_instance: Option<String>,
    /// A new instance like the set's own.
    #[arg(long)]
    to_new_instance: bool,
    /// Only this device of the set; may be repeated.
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Type of the volumes, such as gp3.
    #[arg(long, value_name = "TYPE")]
    volume_type: Option<String>,
    /// IOPS of the volumes.
    #[arg(long, value_name = "N")]
    iops: Option<u32>,
    /// Throughput of the volumes, in MiB/s.
    #[arg(long, value_name = "N")]
    throughput: Option<u32>,
    /// Encrypt the volumes.
    #[arg(long)]
    encrypted: bool,
    /// Encrypt them with this key.
    #[arg(long, value_name = "KEY", requires = "encrypted")]
    kms_key: Option<String>,
    /// Image of the new instance.
    #[arg(long, value_name = "AMI", requires = "to_new_instance")]
    image: Option<String>,
    /// Type of the new instance.
    #[arg(long, value_name = "TYPE", requires = "to_new_instance")]
    instance_type: Option<String>,
    /// Subnet of the new instance.
    #[arg(long, value_name = "SUBNET", requires = "to_new_instance")]
    subnet: Option<String>,
    #[command(flatten)]
    carry_out: CarryOut,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("set").required(true).args(["run", "instance", "policy"])))]
pub(crate) struct Drill {
    /// The set of this run.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The newest set of this instance.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The newest set of that instance of the policy which was not drilled for the longest time.
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    /// The instance that the copies are verified on.
    #[arg(long, value_name = "ID")]
    host: String,
    /// The document that verifies them; Stillpoint-Drill if none is named.
    #[arg(long, value_name = "NAME", default_value = "")]
    document: String,
    /// A parameter of the document, as name=value; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    parameter: Vec<(String, String)>,
    /// How long the document may take, in seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    #[command(flatten)]
    carry_out: CarryOut,
}

#[derive(Clone, Copy, Debug, Args)]
struct CarryOut {
    /// Only show the plan.
    #[arg(long)]
    dry_run: bool,
    /// Carry it out without asking.
    #[arg(long)]
    yes: bool,
    /// Do not wait for its end.
    #[arg(long)]
    no_wait: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no =")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn restore(args: Restore, context: &Context) -> Result<Exit, Failure> {
    let into = match (&args.to_volumes, &args.to_instance, args.to_new_instance, &args.undo) {
        (None, None, false, None) => {
            let allowed = "--to-volumes ZONE, --to-instance or --to-new-instance";
            return Err(Failure::bad_input("target", "none", allowed));
        }
        (_, Some(_), ..) | (.., Some(_)) => Becomes::Instance,
        (.., true, _) => Becomes::NewInstance,
        _ => Becomes::Volumes,
    };
    let request = Request {
        run_id: args.run,
        instance_id: args.instance,
        before: args.before,
        require_application: args.application_consistent,
        undo: args.undo,
        into,
        zone: args.to_volumes.unwrap_or_default(),
        target_instance_id: args.to_instance.filter(|id| !id.is_empty()),
        devices: args.device,
        volume_type: args.volume_type,
        iops: args.iops,
        throughput: args.throughput,
        encrypted: args.encrypted.then_some(true),
        kms_key_id: args.kms_key,
        image_id: args.image,
        instance_type: args.instance_type,
        subnet_id: args.subnet,
        ..Request::default()
    };
    carry_out(&request, args.carry_out, context).await
}

pub(crate) async fn drill(args: Drill, context: &Context) -> Result<Exit, Failure> {
    let request = Request {
        run_id: args.run,
        instance_id: args.instance,
        policy_id: args.policy,
        into: Becomes::Drill,
        host_instance_id: args.host,
        document: args.document,
        parameters: args.parameter.into_iter().collect::<BTreeMap<_, _>>(),
        timeout_seconds: args.timeout,
        ..Request::default()
    };
    carry_out(&request, args.carry_out, context).await
}

#[derive(Serialize)]
struct Requested<'o> {
    version: u32,
    order: &'o Order,
}

async fn carry_out(request: &Request, how: CarryOut, context: &Context) -> Result<Exit, Failure> {
    let cloud = context.cloud().await?;
    let prepared =
        prepare(&cloud, request, &context.request_id()).await.map_err(|refusal| match refusal {
            Refusal::Request(refused) => Failure::BadInput(refused.told()),
            Refusal::Fault(fault) => fault.into(),
        })?;
    if how.dry_run && context.out.json {
        context.out.print_json(&prepared)?;
        return Ok(Exit::Done);
    }
    if !context.out.json {
        context.out.print(&render(&prepared, &context.out))?;
    }
    if how.dry_run || !(how.yes || confirmed("carry this out?")?) {
        return Ok(Exit::Done);
    }
    let requested = Requested { version: EVENT_VERSION, order: &prepared.order };
    let detail = serde_json::to_string(&requested).map_err(Failure::failed)?;
    cloud.publish(RESTORE_REQUESTED, vec![detail]).await?;
    if how.no_wait {
        context.out.print(&format!("{} is requested\n", prepared.order.id))?;
        return Ok(Exit::Done);
    }
    follow::follow(&cloud, &prepared.order, context).await
}

fn render(prepared: &Prepared, out: &Out) -> String {
    let order = &prepared.order;
    let mut text = format!("{} {}\n", out.paint.bold(&order.id), what(order));
    if let Some(set) = &prepared.set {
        let told = format!(
            "set {} of {}, made at {}, {}",
            set.set_id,
            set.instance_id,
            time(set.started_ms),
            set.consistency
        );
        text += &format!("  {told}\n");
    }
    for warning in &prepared.warnings {
        text += &format!("  {} {warning}\n", out.paint.warn("warning"));
    }
    let mut table = Table::indented(4);
    for item in &order.items {
        table.row(row(item));
    }
    text += &table.render(out.width);
    for line in steps(order) {
        text += &format!("  {line}\n");
    }
    text
}

fn row(item: &Item) -> [String; 4] {
    let source = match &item.source {
        Source::Snapshot(id) => format!("a new volume of {id}"),
        Source::Volume(id) => id.clone(),
    };
    let place = if item.place.is_empty() { "the root device" } else { &item.place };
    let size = if item.size_gib == 0 { String::new() } else { format!("{} GiB", item.size_gib) };
    [item.device.clone(), source, size, format!("as {place}")]
}

fn what(order: &Order) -> String {
    match &order.goal {
        Goal::Volumes => format!("makes volumes in {}", order.zone),
        Goal::Instance { instance_id } => format!("replaces volumes of {instance_id}"),
        Goal::NewInstance { launch } => {
            format!("launches a {} of {}", launch.instance_type, launch.image_id)
        }
        Goal::Drill { instance_id, document, .. } => {
            format!("verifies the set on {instance_id} with {document}")
        }
    }
}

/// What will be done to what exists.
fn steps(order: &Order) -> Vec<String> {
    match &order.goal {
        Goal::Volumes => vec![],
        Goal::Instance { instance_id } => vec![
            format!("{instance_id} is stopped; started again if it runs now"),
            "the volumes at these devices are detached and kept".to_owned(),
            format!("way back: stillpoint restore --undo {}", order.id),
        ],
        Goal::NewInstance { .. } => {
            vec!["the root volume that the image brings is replaced and cleared away".to_owned()]
        }
        Goal::Drill { .. } => vec!["the volumes are cleared away afterwards".to_owned()],
    }
}
