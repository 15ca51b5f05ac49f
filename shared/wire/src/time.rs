//! Times as people and events read them.

/// The time that [`rfc3339`] or somebody else wrote, in ms since the epoch; none if it is none.
#[must_use]
pub fn epoch_ms(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

/// RFC 3339 in UTC with milliseconds. A time that no calendar has becomes the epoch,
/// since a report must not fail over it.
#[must_use]
pub fn rfc3339(epoch_ms: u64) -> String {
    format!("{:.3}", timestamp(epoch_ms))
}

/// RFC 3339 in UTC in whole seconds, as Systems Manager's filters take it.
#[must_use]
pub fn rfc3339_seconds(epoch_ms: u64) -> String {
    format!("{:.0}", timestamp(epoch_ms))
}

fn timestamp(epoch_ms: u64) -> jiff::Timestamp {
    i64::try_from(epoch_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// The day of a time in UTC, `2026-01-02`: the partition of the ledger's index by time.
#[must_use]
pub fn day(epoch_ms: u64) -> String {
    rfc3339(epoch_ms).chars().take(10).collect()
}
