//! Instances, and what their SSM agent and the scripts on them do. The hold is the agent's
//! own state machine; what surrounds it (processes, filesystems) is as short as it can be.

mod answers;
mod script;

use std::collections::BTreeMap;

use stillpoint_agent::hold::{Hold, Phase};

use crate::world::World;

/// The agent's own deadline; the default of `agent.toml`.
pub(crate) const DEADLINE_MS: u64 = 60_000;

/// One instance.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: String,
    pub(crate) policy_tags: BTreeMap<String, String>,
    /// Data volumes.
    pub(crate) volumes: Vec<String>,
    pub(crate) boot: u64,
    /// Since when Systems Manager cannot reach it, and until when.
    pub(crate) offline: (u64, u64),
    pub(crate) terminated: bool,
    pub(crate) managed: bool,
    /// Execution id -> hold, of this boot.
    pub(crate) holds: BTreeMap<String, Held>,
    /// And of the boots before.
    pub(crate) past: BTreeMap<String, Held>,
}

/// A hold.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) hold: Hold,
    /// Ours, with receipts; else somebody else's document.
    pub(crate) ours: bool,
    pub(crate) volumes: Vec<String>,
    pub(crate) frozen_at_ms: Option<u64>,
    pub(crate) deadline_at_ms: Option<u64>,
    pub(crate) ended_at_ms: Option<u64>,
}

impl Host {
    fn boot_id(&self) -> String {
        format!("{:08x}-0000-4000-8000-{:012x}", self.boot, self.boot)
    }

    /// Whether Systems Manager reaches it.
    #[must_use]
    pub(crate) fn online(&self, now_ms: u64) -> bool {
        let (from, until) = self.offline;
        !self.terminated && self.managed && !(from..until).contains(&now_ms)
    }

    /// The acknowledged hold that is in place.
    #[must_use]
    pub(crate) fn held(&self) -> Option<(&String, &Held)> {
        self.holds.iter().find(|(_, held)| held.hold.phase == Phase::Acknowledged)
    }

    /// Whether anything of ours may be frozen.
    #[must_use]
    pub(crate) fn frozen(&self) -> Option<(&String, &Held)> {
        let frozen = |held: &Held| (Phase::Armed..Phase::Over).contains(&held.hold.phase);
        self.holds.iter().find(|(_, held)| frozen(held))
    }
}

impl World {
    /// The instance starts anew: nothing of the boot before is left.
    pub(crate) fn reboot(&self, host_id: &str, off_ms: u64) {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        state.say(now_ms, || format!("{host_id} reboots"));
        state.reach("trouble: an instance reboots");
        if let Some(host) = state.hosts.get_mut(host_id) {
            host.boot += 1;
            host.past.append(&mut host.holds);
            host.offline = (now_ms, now_ms + off_ms);
        }
    }

    /// The instance ends for good.
    pub(crate) fn terminate(&self, host_id: &str) {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        state.say(now_ms, || format!("{host_id} is terminated"));
        state.reach("trouble: an instance is terminated");
        if let Some(host) = state.hosts.get_mut(host_id) {
            host.terminated = true;
            host.past.append(&mut host.holds);
        }
    }
}
