//! Where log lines go.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging: one JSON object a line on stdout, which Lambda hands to CloudWatch.
/// `level` is a filter in tracing's own syntax; one that cannot be read becomes `info`.
pub fn init(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_env_filter(filter);
    // A second start keeps the first subscriber, which is what a warm container has.
    drop(subscriber.try_init());
}
