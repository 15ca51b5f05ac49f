//! The budget of CreateSnapshots calls of one account and Region, as arithmetic.
//!
//! EC2 grants the call from a token bucket that everybody in the account shares. A run
//! that finds it empty while an instance is frozen has frozen it for nothing, so a call is
//! reserved before the pre-script is sent. The reservations are kept as one number, the
//! *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371): one
//! conditional write reserves a moment, and nobody has to give a token back.
//!
//! What others in the account take of the bucket cannot be seen, only felt: a throttled
//! call lowers the rate, and time raises it again. No clock here; time comes in.

pub mod fleet;

/// What EC2 grants: a bucket of 100 that refills at 5 a second. Source: Amazon EC2 Developer
/// Guide, "Request throttling for the Amazon EC2 API", bucket sizes and refill rates.
pub const CREATE_SNAPSHOTS: Rule = Rule { burst: 100, rate_milli: 5_000 };

/// Never slower than this, however often it was throttled: a call in 5 s.
const RATE_MIN_MILLI: u64 = 200;
/// A throttled call lowers the rate to this share of what it was, in percent.
const BACK_OFF_PERCENT: u64 = 60;
/// Calls that were throttled together are one sign, not many.
const ONE_SIGN_MS: u64 = 2_000;
/// From nothing to the full rate in this time.
const RECOVERY_MS: u64 = 600_000;

const US_PER_MS: u64 = 1_000;

/// What is granted at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How many calls at once.
    pub burst: u64,
    /// How many calls in 1,000 seconds.
    pub rate_milli: u64,
}

/// What is remembered of the budget. The default is a budget that nobody has used yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When the bucket would be full again, in microseconds since the epoch.
    pub full_at_us: u64,
    /// The rate after the last throttling, in calls in 1,000 seconds; 0 if there was none.
    pub learned_milli: u64,
    /// When that was, in milliseconds since the epoch.
    pub throttled_ms: u64,
}

impl Bucket {
    /// The moment of the next call, in milliseconds since the epoch, and the bucket after
    /// it is reserved.
    #[must_use]
    pub fn reserve(self, rule: Rule, now_ms: u64) -> (u64, Self) {
        let interval = self.interval_us(rule, now_ms);
        let now_us = now_ms.saturating_mul(US_PER_MS);
        let full_at_us = self.full_at_us.max(now_us);
        let depth = interval.saturating_mul(rule.burst.saturating_sub(1));
        let at_us = now_us.max(full_at_us.saturating_sub(depth));
        let after = Self { full_at_us: full_at_us.saturating_add(interval), ..self };
        (at_us.div_ceil(US_PER_MS), after)
    }

    /// The bucket after EC2 has throttled a call: it is empty, and others drink from it.
    #[must_use]
    pub fn throttled(self, rule: Rule, now_ms: u64) -> Self {
        if self.learned_milli > 0 && now_ms < self.throttled_ms.saturating_add(ONE_SIGN_MS) {
            return self;
        }
        let learned = self.rate_milli(rule, now_ms) * BACK_OFF_PERCENT / 100;
        let learned_milli = learned.max(RATE_MIN_MILLI.min(rule.rate_milli));
        let learned = Self { learned_milli, throttled_ms: now_ms, ..self };
        let empty = learned.interval_us(rule, now_ms).saturating_mul(rule.burst);
        let empty_until = now_ms.saturating_mul(US_PER_MS).saturating_add(empty);
        Self { full_at_us: self.full_at_us.max(empty_until), ..learned }
    }

    /// Calls in 1,000 seconds, as far as is known by now.
    #[must_use]
    pub fn rate_milli(self, rule: Rule, now_ms: u64) -> u64 {
        if self.learned_milli == 0 {
            return rule.rate_milli;
        }
        let since_ms = now_ms.saturating_sub(self.throttled_ms);
        let regained = rule.rate_milli.saturating_mul(since_ms) / RECOVERY_MS;
        self.learned_milli.saturating_add(regained).min(rule.rate_milli)
    }

    fn interval_us(self, rule: Rule, now_ms: u64) -> u64 {
        1_000_000_000 / self.rate_milli(rule, now_ms).max(1)
    }
}
