//! What a command's end looks like from outside: Systems Manager's state of it, and the receipt.

use stillpoint_agent::exit;
use stillpoint_agent::hold::{End, Phase};
use stillpoint_drive::outside::{CommandState, Progress};
use stillpoint_wire::receipt::{Frozen, Hold as Interval, HoldState, RECEIPT_VERSION, Receipt};

use super::DEADLINE_MS;
use crate::world::World;

impl World {
    /// What Systems Manager shows of an end, a moment later.
    pub(super) fn ended(&self, command_id: &str, host_id: &str, code: i32, stdout: String) {
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

    pub(super) fn plain(
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
    pub(super) fn receipt(&self, host_id: &str, stage: &str, id: &str) -> Option<Receipt> {
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
}
