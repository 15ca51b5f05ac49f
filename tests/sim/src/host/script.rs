//! What the SSM agent and the script of a document do with a command that arrives.

use std::sync::Arc;

use stillpoint_agent::exit;
use stillpoint_agent::hold::{Cause, Event, Hold, Phase};
use stillpoint_drive::outside::Progress;
use stillpoint_wire::receipt::{HoldState, Receipt};

use super::{DEADLINE_MS, Held};
use crate::world::World;

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
}
