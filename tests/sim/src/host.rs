//! Instances, and what their SSM agent and the scripts on them do. The hold is the agent's
//! own state machine; what surrounds it (processes, filesystems) is as short as it can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use stillpoint_agent::exit;
use stillpoint_agent::hold::{Cause, End, Event, Hold, Phase};
use stillpoint_drive::outside::{CommandState, Progress};
use stillpoint_wire::receipt::{Frozen, Hold as Interval, HoldState, RECEIPT_VERSION, Receipt};

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

/// What the script of a document does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Well,
    Fails,
    NotReady,
    Hangs,
    Garbage,
}

impl World {
    /// Runs a delivered command to its end, or until its host, its boot or its client ends.
    pub(crate) async fn execute(self: Arc<Self>, command_id: String, host_id: String) {
        let Some((stage, id, boot, ours, only)) = self.begin(&command_id, &host_id) else { return };
        let way = self.way();
        if way == Way::Hangs {
            self.state().reach("trouble: the script hangs");
            return;
        }
        let answer = if stage == "pre-script" {
            self.pre(&command_id, &host_id, &id, boot, ours, only, way).await
        } else {
            self.post(&host_id, &id, boot, way).await
        };
        let Some((code, receipt)) = answer else { return };
        let ours = receipt.is_some();
        let stdout = match receipt {
            _ if way == Way::Garbage && ours => {
                self.state().reach("trouble: the receipt is cut");
                "{\"stillpoint\":1,\"half".to_owned()
            }
            Some(receipt) => {
                format!("INFO a line\n{}", serde_json::to_string(&receipt).unwrap_or_default())
            }
            None => "INFO done".to_owned(),
        };
        self.ended(&command_id, &host_id, code, stdout);
    }

    fn way(&self) -> Way {
        let mut state = self.state();
        let rate = state.trouble.script;
        if !state.rng.chance(rate) {
            return Way::Well;
        }
        state.rng.pick(&[Way::Fails, Way::NotReady, Way::Hangs, Way::Garbage])
    }

    fn begin(
        &self,
        command_id: &str,
        host_id: &str,
    ) -> Option<(String, String, u64, bool, Vec<String>)> {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        let state = &mut *state;
        let command = state.commands.get_mut(command_id)?;
        let (stage, id) = (command.stage.clone(), command.execution_id.clone());
        let (ours, only) = (command.ours, command.volumes.clone());
        let invocation = command.invocations.get_mut(host_id)?;
        let host = state.hosts.get(host_id)?;
        if invocation.cancelled || !host.online(now_ms) {
            return None;
        }
        invocation.state.progress = Progress::Running;
        let boot = host.boot;
        state.say(now_ms, || format!("{host_id} runs {stage} {}", &id[..8]));
        if stage == "pre-script" {
            state.pre_begins(now_ms, host_id, &id);
        }
        Some((stage, id, boot, ours, only))
    }

    #[expect(clippy::too_many_arguments, reason = "what a pre-script is told, once")]
    async fn pre(
        self: &Arc<Self>,
        command_id: &str,
        host_id: &str,
        id: &str,
        boot: u64,
        ours: bool,
        only: Vec<String>,
        way: Way,
    ) -> Option<(i32, Option<Receipt>)> {
        let refused = |code: u8, state, world: &Self| {
            let receipt = world.plain(host_id, "pre-script", id, code, state);
            Some((i32::from(code), receipt.filter(|_| ours)))
        };
        {
            let mut state = self.state();
            let host = state.hosts.get_mut(host_id)?;
            if host.holds.values().any(|held| held.hold.phase != Phase::Over)
                || host.holds.contains_key(id)
            {
                state.reach("trouble: already held");
                drop(state);
                return refused(exit::ALREADY_HELD, HoldState::AlreadyHeld, self);
            }
            if way == Way::NotReady {
                drop(state);
                return refused(exit::NOT_READY, HoldState::Refused, self);
            }
            let volumes = host.volumes.iter().filter(|one| only.is_empty() || only.contains(one));
            let held = Held {
                hold: Hold::NEW,
                ours,
                volumes: volumes.cloned().collect(),
                frozen_at_ms: None,
                deadline_at_ms: None,
                ended_at_ms: None,
            };
            host.holds.insert(id.to_owned(), held);
        }
        let prepares = self.state().rng.between(100, 1_500);
        self.exec.sleep(prepares).await;
        let deadline = self.exec.now_ms() + DEADLINE_MS;
        if !self.moved(command_id, host_id, id, boot, Event::Arm) {
            return refused(exit::PRE_FAILED, HoldState::Failed, self);
        }
        self.with(host_id, id, boot, |held| held.deadline_at_ms = Some(deadline));
        self.state().armed.insert((deadline, host_id.to_owned(), id.to_owned()));
        let (world, host, execution) = (Arc::clone(self), host_id.to_owned(), id.to_owned());
        self.exec.spawn(async move {
            world.exec.sleep(DEADLINE_MS).await;
            world.stop(&host, &execution, boot, Cause::Deadline);
        });
        let freezes = self.state().rng.between(1, 60);
        self.exec.sleep(freezes).await;
        if way == Way::Fails {
            self.stop(host_id, id, boot, Cause::FreezeRefused);
            self.state().reach("trouble: the pre-script fails");
            return refused(exit::PRE_FAILED, HoldState::Failed, self);
        }
        self.moved(command_id, host_id, id, boot, Event::AllFrozen);
        if !self.moved(command_id, host_id, id, boot, Event::Acknowledge) {
            return refused(exit::PRE_FAILED, HoldState::Failed, self);
        }
        let now_ms = self.exec.now_ms();
        self.with(host_id, id, boot, |held| held.frozen_at_ms = Some(now_ms));
        self.break_later(host_id, id, boot);
        Some((0, self.receipt(host_id, "pre-script", id).filter(|_| ours)))
    }

    /// The hold may break in the middle: its holder is killed.
    fn break_later(self: &Arc<Self>, host_id: &str, id: &str, boot: u64) {
        let mut state = self.state();
        let rate = state.trouble.broken_hold;
        if state.rng.chance(rate) {
            let after = state.rng.between(1, 4_000);
            state.reach("trouble: the holder is killed");
            drop(state);
            let (world, host, execution) = (Arc::clone(self), host_id.to_owned(), id.to_owned());
            self.exec.spawn(async move {
                world.exec.sleep(after).await;
                world.stop(&host, &execution, boot, Cause::HolderGone);
            });
        }
    }

    async fn post(
        self: &Arc<Self>,
        host_id: &str,
        id: &str,
        boot: u64,
        way: Way,
    ) -> Option<(i32, Option<Receipt>)> {
        let takes = self.state().rng.between(5, 300);
        self.exec.sleep(takes).await;
        if self.state().hosts.get(host_id).is_none_or(|host| host.boot != boot) {
            return None;
        }
        let ours = self.state().hosts[host_id].holds.get(id).map(|held| held.ours);
        if way == Way::Fails && ours.is_some() {
            self.state().reach("trouble: the post-script fails");
            let receipt =
                self.plain(host_id, "post-script", id, exit::POST_FAILED, HoldState::Failed);
            return Some((202, receipt.filter(|_| ours == Some(true))));
        }
        let Some(ours) = ours else {
            let code = exit::NOTHING_HELD;
            let receipt = self.plain(host_id, "post-script", id, code, HoldState::NothingHeld);
            return Some((i32::from(code), receipt));
        };
        // Repeated, it tells the same again.
        self.stop(host_id, id, boot, Cause::PostScript);
        let receipt = self.receipt(host_id, "post-script", id)?;
        let code = i32::from(receipt.code);
        Some((code, Some(receipt).filter(|_| ours)))
    }

    /// Moves a hold on behalf of a client that must still be there.
    fn moved(&self, command_id: &str, host_id: &str, id: &str, boot: u64, event: Event) -> bool {
        let gone = {
            let state = self.state();
            let command = state.commands.get(command_id);
            command.is_none_or(|one| one.invocations.get(host_id).is_none_or(|one| one.cancelled))
        };
        if gone {
            self.stop(host_id, id, boot, Cause::ClientGone);
            return false;
        }
        let mut moved = false;
        self.with(host_id, id, boot, |held| {
            if let Some(after) = held.hold.after(event) {
                held.hold = after;
                moved = true;
            }
        });
        moved
    }

    fn with(&self, host_id: &str, id: &str, boot: u64, change: impl FnOnce(&mut Held)) {
        let mut state = self.state();
        let Some(host) = state.hosts.get_mut(host_id).filter(|host| host.boot == boot) else {
            return;
        };
        if let Some(held) = host.holds.get_mut(id) {
            change(held);
        }
    }

    /// Ends a hold, thaws.
    pub(crate) fn stop(&self, host_id: &str, id: &str, boot: u64, cause: Cause) {
        let now_ms = self.exec.now_ms();
        let mut frozen_ms = None;
        self.with(host_id, id, boot, |held| {
            if let Some(after) = held.hold.after(Event::Stop(cause, 0)) {
                held.hold = after;
                held.ended_at_ms = Some(now_ms);
                frozen_ms = held.frozen_at_ms.map(|at| now_ms - at);
                if let Some(after) = held.hold.after(Event::AllThawed) {
                    held.hold = after;
                }
            }
        });
        if let Some(frozen_ms) = frozen_ms {
            let mut state = self.state();
            state.frozen_ms.push(frozen_ms);
            state.say(now_ms, || {
                format!("{host_id} thawed {} after {frozen_ms} ms: {cause:?}", &id[..8])
            });
        }
    }

    /// What Systems Manager shows of an end, a moment later.
    fn ended(&self, command_id: &str, host_id: &str, code: i32, stdout: String) {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        state.say(now_ms, || format!("{host_id} exits {code}: {stdout}"));
        let command = state.commands.get_mut(command_id);
        let Some(one) = command.and_then(|one| one.invocations.get_mut(host_id)) else { return };
        if one.cancelled {
            return;
        }
        let progress = if code == 0 { Progress::Succeeded } else { Progress::Failed };
        one.state = CommandState {
            progress,
            details: String::new(),
            exit_code: Some(code),
            stdout,
            stderr: String::new(),
        };
    }

    fn plain(
        &self,
        host_id: &str,
        stage: &str,
        id: &str,
        code: u8,
        hold_state: HoldState,
    ) -> Option<Receipt> {
        let state = self.state();
        let host = state.hosts.get(host_id)?;
        Some(Receipt {
            stillpoint: RECEIPT_VERSION,
            stage: stage.to_owned(),
            execution_id: id.to_owned(),
            code,
            state: hold_state,
            reason: String::new(),
            agent: "sim".to_owned(),
            boot_id: host.boot_id(),
            clock_ms: None,
            hold: None,
            frozen: vec![],
            left_out: vec![],
            applications: vec![],
        })
    }

    /// The receipt of a hold, as the agent's `receipt` makes it.
    fn receipt(&self, host_id: &str, stage: &str, id: &str) -> Option<Receipt> {
        let held = self.state().hosts.get(host_id)?.holds.get(id)?.clone();
        let is_pre = stage == "pre-script";
        let (code, state) = match (held.hold.phase, held.hold.end) {
            (Phase::Acknowledged, _) => (exit::OK, HoldState::Held),
            (_, End::Released) => (exit::OK, HoldState::Released),
            (_, End::AutoThawed) => (exit::AUTO_THAWED, HoldState::AutoThawed),
            (_, End::Failed) if !is_pre => (exit::NOTHING_HELD, HoldState::NothingHeld),
            (_, End::Failed | End::None) => (exit::PRE_FAILED, HoldState::Failed),
            (_, End::Broken) if is_pre => (exit::PRE_FAILED, HoldState::Failed),
            (_, End::Broken) => (exit::AUTO_THAWED, HoldState::Broken),
        };
        let mut receipt = self.plain(host_id, stage, id, code, state)?;
        let frozen_ms = held.ended_at_ms.zip(held.frozen_at_ms).map(|(end, from)| end - from);
        receipt.hold = held.frozen_at_ms.map(|frozen_at_ms| Interval {
            unbroken: !is_pre && state == HoldState::Released,
            frozen_at_ms,
            released_at_ms: held.ended_at_ms,
            frozen_ms,
            deadline_ms: DEADLINE_MS,
        });
        receipt.frozen = vec![Frozen {
            mount: "/data".to_owned(),
            fs: "ext4".to_owned(),
            dev: "259:1".to_owned(),
            volumes: held.volumes,
        }];
        Some(receipt)
    }

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
