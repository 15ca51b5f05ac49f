//! `stillpoint plan`: the planner's dry run, by the planner's own code, with the operator's own
//! rights, all of which only read.

use clap::Args;
use serde_json::{Map, Value};
use stillpoint_aws::Cloud;
use stillpoint_planner::{Answer, handle};
use stillpoint_policy::{Assumptions, INLINE_POLICY_ID, parse};
use stillpoint_run::{Order, Script};

use crate::policy::read_file;
use crate::{Context, Exit, Failure, Out, Table};

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The policy: a file, or the id of one that is deployed.
    #[arg(long, value_name = "FILE|ID")]
    policy: String,
    #[command(flatten)]
    narrowed: Narrowed,
    /// Prices and guesses of the estimate that are not the usual ones: a JSON file,
    /// docs/POLICIES.md has the names.
    #[arg(long, value_name = "FILE")]
    assumptions: Option<String>,
}

/// What narrows a firing.
#[derive(Clone, Debug, Args)]
pub(crate) struct Narrowed {
    /// Only this instance of the policy's targets; may be repeated.
    #[arg(long, value_name = "ID")]
    instance: Vec<String>,
    /// Which of the policy's schedules; the first one if it is not said.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
}

pub(crate) async fn go(plan: Plan, context: &Context) -> Result<Exit, Failure> {
    let mut event = event(&plan.policy, &plan.narrowed)?;
    if let Some(file) = &plan.assumptions {
        let text = read_file(file)?;
        Assumptions::read(&text).map_err(|errors| {
            Failure::BadInput(errors.iter().map(ToString::to_string).collect())
        })?;
        let value = serde_json::from_str(&text).map_err(Failure::failed)?;
        event.insert("assumptions".to_owned(), value);
    }
    let answer = ask(&context.cloud().await?, &event, true, "plan").await?;
    if context.out.json {
        context.out.print_json(&answer)?;
    } else {
        context.out.print(&render(&answer, &context.out))?;
    }
    Ok(Exit::Done)
}

/// The planner's event, as the console's Test button would send it.
pub(crate) fn event(policy: &str, narrowed: &Narrowed) -> Result<Map<String, Value>, Failure> {
    let mut event = Map::new();
    if is_file(policy) {
        let text = read_file(policy)?;
        // Read as the text that it is: a value would have lost a field that is there twice.
        parse(INLINE_POLICY_ID, &text).map_err(|errors| {
            Failure::BadInput(errors.iter().map(ToString::to_string).collect())
        })?;
        let value = serde_json::from_str(&text).map_err(Failure::failed)?;
        event.insert("policy".to_owned(), value);
    } else {
        event.insert("policyId".to_owned(), policy.into());
    }
    if !narrowed.instance.is_empty() {
        event.insert("instanceIds".to_owned(), narrowed.instance.clone().into());
    }
    if let Some(schedule) = &narrowed.schedule {
        event.insert("schedule".to_owned(), schedule.clone().into());
    }
    Ok(event)
}

/// A policy's id has no separator, and an id wins over a file of its name in the working folder
/// only by not being there.
fn is_file(policy: &str) -> bool {
    policy == "-"
        || policy.contains(std::path::MAIN_SEPARATOR)
        || policy.ends_with(".json")
        || std::path::Path::new(policy).is_file()
}

/// Asks the planner. Nothing is requested by a dry run.
pub(crate) async fn ask(
    cloud: &Cloud,
    event: &Map<String, Value>,
    dry_run: bool,
    request_id: &str,
) -> Result<Answer, Failure> {
    let mut event = event.clone();
    event.insert("dryRun".to_owned(), dry_run.into());
    Ok(handle(cloud, &Value::Object(event), request_id).await?)
}

/// A plan for people.
pub(crate) fn render(answer: &Answer, out: &Out) -> String {
    let paint = out.paint;
    let mut text = format!(
        "{} {}, schedule {}\n",
        paint.bold("policy"),
        paint.bold(&answer.policy_id),
        answer.schedule_name
    );
    for warning in &answer.warnings {
        let mut table = Table::indented(0);
        table.row([paint.warn("warning"), warning.clone()]);
        text += &table.render(out.width);
    }
    text += &format!("\n{}\n", paint.bold(&format!("{} to run", counted(answer.runs.len()))));
    for order in &answer.runs {
        text += &instance(order, out);
    }
    text += &left_out(answer, out);
    text += &after(answer, out);
    text
}

fn counted(instances: usize) -> String {
    match instances {
        0 => "no instance".to_owned(),
        1 => "1 instance".to_owned(),
        more => format!("{more} instances"),
    }
}

fn instance(order: &Order, out: &Out) -> String {
    let paint = out.paint;
    let mut table = Table::indented(2);
    table.row([paint.bold(&order.instance_id), script(order.script.as_ref(), out)]);
    let mut text = table.render(out.width);
    let mut volumes = Table::indented(4);
    for volume in &order.volumes {
        let what = if volume.boot { "boot volume" } else { "" };
        volumes.row([
            paint.good("+"),
            volume.volume_id.clone(),
            volume.device.clone(),
            format!("{} GiB", volume.size_gib),
            what.to_owned(),
        ]);
    }
    for volume in &order.left_out {
        let cells = ["-", &volume.volume_id, &volume.device, "", &volume.reason];
        volumes.row(cells.map(|cell| paint.dim(cell)));
    }
    text += &volumes.render(out.width);
    text
}

/// What is run on the instance, and what that leaves if it fails.
fn script(script: Option<&Script>, out: &Out) -> String {
    let Some(script) = script else { return "no script: crash-consistent".to_owned() };
    let fallback = if script.fallback { "crash-consistent" } else { "no snapshot" };
    if let Some(skip) = &script.skip {
        return out.paint.warn(&format!("{} cannot run: {skip}; {fallback}", script.document));
    }
    let stages = match (script.pre, script.post) {
        (true, true) => "pre and post",
        (true, false) => "pre only",
        (false, _) => "post only",
    };
    format!(
        "{}: {stages}, {} s each, {} retries, then {fallback}",
        script.document, script.timeout_secs, script.retries
    )
}

fn left_out(answer: &Answer, out: &Out) -> String {
    let left_out = answer.left_out.as_array().map(Vec::as_slice).unwrap_or_default();
    if left_out.is_empty() {
        return String::new();
    }
    let title = format!("{} left out", counted(left_out.len()));
    let mut table = Table::indented(2);
    for one in left_out {
        let field = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        table.row([field("instanceId"), field("reason")]);
    }
    format!("\n{}\n{}", out.paint.bold(&title), table.render(out.width))
}

fn after(answer: &Answer, out: &Out) -> String {
    let mut table = Table::indented(0);
    let calls: Vec<String> = answer
        .api_calls
        .as_object()
        .map(|calls| calls.iter().map(|(name, count)| format!("{count} {name}")).collect())
        .unwrap_or_default();
    if !calls.is_empty() {
        table.row([out.paint.bold("calls"), calls.join(", ")]);
    }
    if !answer.next_firings.is_empty() {
        let firings: Vec<String> = answer
            .next_firings
            .iter()
            .map(|firing| format!("{} {}", firing.at, firing.schedules.join(" + ")))
            .collect();
        table.row([out.paint.bold("next firings"), firings.join(", ")]);
    }
    let estimate = &answer.estimate;
    table.row([
        out.paint.bold("duration"),
        format!(
            "about {} s a run, writers held for {} s of it; the last run ends after {} s",
            estimate.run_secs, estimate.frozen_secs, estimate.firing_secs
        ),
    ]);
    let monthly = &estimate.monthly;
    table.row([
        out.paint.bold("cost"),
        format!(
            "about ${:.2} a month: snapshots ${:.2} ({} GiB), copies ${:.2}, fast restore ${:.2}, \
             Stillpoint itself ${:.2}",
            monthly.total,
            monthly.snapshots,
            monthly.stored_gib,
            monthly.copies,
            monthly.fast_restore,
            monthly.requests
        ),
    ]);
    for note in &estimate.notes {
        table.row(["", note]);
    }
    format!("\n{}", table.render(out.width))
}
