//! Where log lines go.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging: one JSON object a line on stdout, which Lambda hands to CloudWatch.
/// `level` is a level, or levels by target (`info,stillpoint_drive=debug`); one that cannot be
/// read becomes `info`. There are no filters by span or field: those would link a regex engine.
pub fn init(level: &str) {
    let filter = level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_filter(filter);
    // A second start keeps the first subscriber, which is what a warm container has.
    drop(tracing_subscriber::registry().with(lines).try_init());
}
