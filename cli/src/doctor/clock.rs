//! Two clocks that should be one: this machine's and AWS's, an instance's and AWS's.

use super::finding::Finding;

/// AWS refuses a request whose time is 5 minutes off; half of that is on its way there.
const BAD_MS: u64 = 150_000;
const WARN_MS: u64 = 10_000;

/// What to say of a clock that is so many milliseconds ahead of AWS's.
pub(super) fn judge(subject: &str, whose: &str, ahead_ms: i64) -> Finding {
    let off_ms = ahead_ms.unsigned_abs();
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let seconds = std::time::Duration::from_millis(off_ms).as_secs_f64();
    let text = format!("{whose} is {seconds:.1} s {side} AWS");
    let remedy = "set the clock, such as with chrony: AWS refuses requests that are 5 minutes off";
    match off_ms {
        BAD_MS.. => Finding::bad(subject, text, remedy),
        WARN_MS.. => Finding::warn(subject, text, remedy),
        _ => Finding::good(subject, text),
    }
}

/// How far a clock is ahead that showed `shown_ms` at some moment between two others.
pub(super) fn ahead_ms(shown_ms: u64, first_ms: i64, last_ms: i64) -> i64 {
    let shown_ms = i64::try_from(shown_ms).unwrap_or(i64::MAX);
    shown_ms.saturating_sub(shown_ms.clamp(first_ms, last_ms))
}
