//! `stillpoint runs`: the ledger as a list, newest first.

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use stillpoint_run::Outcome;
use stillpoint_wire::ledger::Row;

use crate::words::{moment, result, span};
use crate::{Context, Exit, Failure, Out, Table};

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Only of this policy.
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    /// Only of this instance.
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Only those that ended like this.
    #[arg(long, value_enum)]
    outcome: Option<Wanted>,
    /// Only those that began later: a time (2026-01-02, 2026-01-02T03:04:05Z) or how long ago
    /// (90m, 12h, 7d).
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: String,
    /// Only those that began before, as for --since.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    /// As the policy asks.
    Completed,
    /// There is a set, but less was reached than the policy asks.
    CompletedWithIssues,
    /// There is no set.
    Failed,
    /// Not ended yet.
    Unfinished,
}

impl Wanted {
    fn is(self, outcome: Option<Outcome>) -> bool {
        match self {
            Self::Completed => outcome == Some(Outcome::Completed),
            Self::CompletedWithIssues => outcome == Some(Outcome::CompletedWithIssues),
            Self::Failed => outcome == Some(Outcome::Failed),
            Self::Unfinished => outcome.is_none(),
        }
    }
}

pub(crate) async fn go(runs: Runs, context: &Context) -> Result<Exit, Failure> {
    let now_ms = context.now_ms();
    let since_ms = time("--since", &runs.since, now_ms)?;
    // Runs of this very millisecond are wanted too.
    let until_ms = runs.until.as_deref().map(|text| time("--until", text, now_ms)).transpose()?;
    let until_ms = until_ms.unwrap_or(now_ms + 1);
    let named = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|one| one == is);
    let wanted = |row: &Row| {
        named(&runs.policy, &row.policy_id)
            && named(&runs.instance, &row.instance_id)
            && runs.outcome.is_none_or(|outcome| outcome.is(row.outcome))
    };
    let rows = context.cloud().await?.history(since_ms, until_ms, runs.limit, wanted).await?;
    if context.out.json {
        context.out.print_json(&rows)?;
    } else {
        context.out.print(&render(&rows, now_ms, &context.out))?;
        if rows.is_empty() {
            context.out.note(&format!("no such run since {} UTC", moment(since_ms)));
        } else if rows.len() == runs.limit {
            context.out.note(&format!("there may be more: --limit is {}", runs.limit));
        }
    }
    Ok(Exit::Done)
}

pub(crate) fn render(rows: &[Row], now_ms: u64, out: &Out) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::indented(0);
    let titles = ["BEGAN (UTC)", "RUN", "POLICY", "INSTANCE", "TOOK", "FROZEN", "RESULT"];
    table.row(titles.map(|title| out.paint.dim(title)));
    for row in rows {
        let took_ms = row.ended_ms.unwrap_or(now_ms).saturating_sub(row.started_ms);
        table.row([
            moment(row.started_ms),
            row.run_id.clone(),
            row.policy_id.clone(),
            row.instance_id.clone(),
            span(took_ms),
            row.frozen_ms.map(span).unwrap_or_default(),
            result(row, out.paint),
        ]);
    }
    table.render(out.width)
}

/// A time, a day, or how long ago, in ms since the epoch.
fn time(field: &str, text: &str, now_ms: u64) -> Result<u64, Failure> {
    let now = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let now = now.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let ago = || now.checked_sub(text.parse::<Span>().ok()?.abs()).ok();
    let time = text.parse::<Timestamp>().ok();
    let time = time.or_else(|| midnight().or_else(ago).map(|time| time.timestamp()));
    let ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.ok_or_else(|| {
        Failure::bad_input(
            field,
            format!("{text:?}"),
            "a day (2026-01-02), a time (2026-01-02T03:04:05Z) or how long ago (90m, 12h, 7d)",
        )
    })
}
