//! What may go wrong in one seed, and how often, in 10,000.

use crate::rng::Rng;

/// The rates of one seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing at all goes wrong.
    pub(crate) calm: bool,
    /// The function dies before or after a call.
    pub(crate) death: u64,
    /// A call is throttled.
    pub(crate) throttle: u64,
    /// A call's answer is lost after its effect, or the call before it.
    pub(crate) lost_reply: u64,
    /// A call is refused for good.
    pub(crate) refused: u64,
    /// An event or message is lost.
    pub(crate) lost_message: u64,
    /// It is delivered twice.
    pub(crate) duplicate: u64,
    /// It comes late.
    pub(crate) late: u64,
    /// A command is never delivered.
    pub(crate) undelivered: u64,
    /// Delivery has a heavy tail.
    pub(crate) slow_ssm: bool,
    /// The script fails, hangs or is not ready.
    pub(crate) script: u64,
    /// The hold breaks in the middle.
    pub(crate) broken_hold: u64,
    /// An instance reboots or ends during the hour.
    pub(crate) instance: u64,
    /// An instance's agent is offline for a while.
    pub(crate) offline: u64,
    /// Clocks are off by up to this, in ms.
    pub(crate) skew_ms: u64,
    /// A firing never reaches the planner.
    pub(crate) lost_firing: u64,
    /// Others take CreateSnapshots calls, in thousandths a second.
    pub(crate) neighbours_milli: u64,
    /// The search by tag lags.
    pub(crate) lagging_tags: bool,
}

impl Trouble {
    /// Of a seed: one in ten is calm, the others have a few things that go wrong often and
    /// the rest seldom.
    #[must_use]
    pub(crate) fn of(rng: &mut Rng) -> Self {
        if rng.chance(1_000) {
            return Self { calm: true, ..Self::default() };
        }
        let mut rate = |often: u64| match rng.below(4) {
            0 => often,
            1 => often / 5,
            _ => 0,
        };
        Self {
            calm: false,
            death: rate(150),
            throttle: rate(1_500),
            lost_reply: rate(600),
            refused: rate(150),
            lost_message: rate(2_000),
            duplicate: rate(4_000),
            late: rate(3_000),
            undelivered: rate(1_000),
            script: rate(3_000),
            broken_hold: rate(2_500),
            instance: rate(1_500),
            offline: rate(2_000),
            lost_firing: rate(1_500),
            skew_ms: rate(5_000),
            neighbours_milli: rate(6_000),
            slow_ssm: rate(1) == 1,
            lagging_tags: rate(1) == 1,
        }
    }
}
