//! `stillpoint show RUN`: the whole story of one run, from its record.

use clap::Args;
use stillpoint_aws::outside::Ledger;
use stillpoint_run::{Consistency, Phase, Run, Verdict};
use stillpoint_wire::ledger::{LEDGER_VERSION, LedgerBody, Row};

use crate::words::{moment, result, span};
use crate::{Context, Exit, Failure, Out, Table, codes, timeline, words};

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The run's id, as `stillpoint runs`, the events and the tags have it.
    run: String,
}

pub(crate) async fn go(show: Show, context: &Context) -> Result<Exit, Failure> {
    let recorded = context.cloud().await?.load(&show.run).await?;
    let Some(recorded) = recorded else {
        let found = format!("{:?}", show.run);
        return Err(Failure::bad_input("RUN", found, "a run of the ledger: stillpoint runs"));
    };
    if context.out.json {
        let body = LedgerBody { version: LEDGER_VERSION, run: recorded.run };
        context.out.print_json(&body)?;
    } else {
        context.out.print(&render(&recorded.run, context.now_ms(), &context.out))?;
    }
    Ok(Exit::Done)
}

/// The story, for people.
#[must_use]
pub fn render(run: &Run, now_ms: u64, out: &Out) -> String {
    let mut text = head(run, now_ms, out);
    text += &timeline::render(run, now_ms, out);
    text += &snapshots(run, out);
    if let Some(verdict) = &run.verdict {
        text += &why(run, verdict, out);
    }
    text
}

fn head(run: &Run, now_ms: u64, out: &Out) -> String {
    let (order, paint) = (&run.order, out.paint);
    let mut table = Table::indented(2);
    table.row(["policy", &format!("{}, schedule {}", order.policy_id, order.schedule_name)]);
    table.row(["instance", &order.instance_id]);
    table.row(["for", &order.nominal_time]);
    let took = span(run.ended_ms.unwrap_or(now_ms).saturating_sub(run.started_ms));
    let attempts = match run.attempt {
        0 => "no script was sent".to_owned(),
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let verb = if run.phase == Phase::Done { "took" } else { "so far" };
    let began = moment(run.started_ms);
    table.row(["began", &format!("{began} UTC, {verb} {took}, {attempts}")]);
    if let Some(frozen_ms) = run.verdict.as_ref().and_then(|verdict| verdict.frozen_ms) {
        table.row(["frozen", &format!("writers stood still for {}", span(frozen_ms))]);
    }
    if run.phase != Phase::Done {
        table.row(["now", words::phase(run.phase)]);
    }
    let title = format!("{}  {}\n", paint.bold(&order.run_id), result(&Row::of(run), paint));
    title + &table.render(out.width)
}

fn snapshots(run: &Run, out: &Out) -> String {
    let paint = out.paint;
    let mut table = Table::indented(2);
    let verdicts = run.verdict.as_ref().map(|verdict| verdict.snapshots.as_slice());
    for one in verdicts.unwrap_or_default() {
        let volume = run.order.volume(&one.volume_id);
        let size = volume.map(|volume| format!("{} GiB", volume.size_gib)).unwrap_or_default();
        let boot = if volume.is_some_and(|volume| volume.boot) { " (boot volume)" } else { "" };
        let word = one.consistency.as_str();
        let word = match one.consistency {
            Consistency::Application => paint.good(word),
            Consistency::Claimed => word.to_owned(),
            Consistency::Crash => paint.warn(word),
        };
        let cells =
            [&one.snapshot_id, &one.volume_id, &one.device, &size, &format!("{word}{boot}")];
        table.row(cells.map(String::as_str));
    }
    for one in &run.order.left_out {
        let why = format!("left out: {}", one.reason);
        table.row(["", &one.volume_id, &one.device, "", &why].map(|cell| paint.dim(cell)));
    }
    let rows = table.render(out.width);
    if rows.is_empty() { rows } else { format!("\n{}\n{rows}", paint.bold("snapshots")) }
}

/// The cause, and what its page says to do.
fn why(run: &Run, verdict: &Verdict, out: &Out) -> String {
    let mut text = String::new();
    if verdict.thaw_unconfirmed {
        let words = "it is not confirmed that the instance is released: look at it now";
        text += &format!("\n{}\n", out.paint.bad(words));
    }
    if let Some(cause) = &verdict.cause {
        let mut table = Table::indented(0);
        let words = format!("{}: {}", cause.code.as_str(), cause.text);
        table.row([out.paint.bold("why"), words]);
        text += &format!("\n{}\n", table.render(out.width).trim_end());
        text += &format!("\n{}", codes::advice(cause.code.as_str(), run, out));
    }
    text
}
