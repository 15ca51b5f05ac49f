//! Systems Manager: commands that are sent, delivered and asked about.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillpoint_drive::outside::{
    CommandState, Commands, Fault, FaultKind, Fleet, Progress, SendCommand,
};

use super::{Hand, fault};
use crate::world::{Command, Invocation, State, World};

impl Fleet for Hand {
    async fn send_to(&self, ids: &[String], command: &SendCommand) -> Result<String, Fault> {
        let ms = self.latency(90);
        let text = |name: &str| {
            command.parameters.get(name).and_then(|one| one.first()).cloned().unwrap_or_default()
        };
        let (stage, execution_id) = (text("command"), text("executionId"));
        {
            let now_ms = self.world.exec.now_ms();
            let mut state = self.world.state();
            for id in ids {
                state.sends(now_ms, self.invocation, id, &stage, &execution_id);
            }
        }
        self.call("send", ms, |state, now_ms| {
            if ids
                .iter()
                .any(|id| state.hosts.get(id).is_none_or(|host| host.terminated || !host.managed))
            {
                return Err(fault(FaultKind::Refused, "InvalidInstanceId"));
            }
            if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
                state.reach("one command for one instance twice");
                return Err(fault(FaultKind::Refused, "DuplicateInstanceId"));
            }
            let command_id = format!("command-{}", state.number());
            let waiting = || Invocation { state: CommandState::waiting(), cancelled: false };
            let volumes = text("volumes");
            let volumes: Vec<String> =
                volumes.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            let ours = command.document.starts_with("Stillpoint-");
            state.told_volumes(now_ms, ids, ours, &volumes);
            let made = Command {
                stage: stage.clone(),
                execution_id: execution_id.clone(),
                ours,
                volumes,
                invocations: ids.iter().map(|id| (id.clone(), waiting())).collect(),
            };
            state.commands.insert(command_id.clone(), made);
            state.say(now_ms, || {
                format!("{stage} {} goes to {}", &execution_id[..8], ids.join(", "))
            });
            for id in ids {
                self.deliver(state, &command_id, id, u64::from(command.delivery_secs));
            }
            Ok(command_id)
        })
        .await
    }

    async fn states(&self, command_id: &str) -> Result<Vec<(String, CommandState)>, Fault> {
        let ms = self.latency(40);
        let answer = self
            .call("states", ms, |state, _| {
                let command = state.commands.get(command_id);
                let all = command.into_iter().flat_map(|command| &command.invocations);
                Ok(all.map(|(id, one)| (id.clone(), one.state.clone())).collect::<Vec<_>>())
            })
            .await?;
        let now_ms = self.world.exec.now_ms();
        let mut state = self.world.state();
        if let Some(execution) = state.pre_of(command_id) {
            for (id, _) in answer.iter().filter(|(_, one)| tells_all(one)) {
                state.knows_held_first(now_ms, self.invocation, id, &execution);
            }
        }
        Ok(answer)
    }
}

impl Commands for Hand {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        self.send_to(std::slice::from_ref(&command.instance_id), command).await
    }

    async fn state(
        &self,
        command_id: &str,
        instance_id: &str,
        _: Option<&str>,
    ) -> Result<CommandState, Fault> {
        let ms = self.latency(40);
        let answer = self
            .call("state", ms, |state, _| {
                let command = state.commands.get(command_id);
                let one = command.and_then(|command| command.invocations.get(instance_id));
                Ok(one.map_or_else(CommandState::waiting, |one| one.state.clone()))
            })
            .await?;
        let now_ms = self.world.exec.now_ms();
        let mut state = self.world.state();
        if let Some(execution) = state.pre_of(command_id)
            && answer.progress == Progress::Succeeded
        {
            state.knows_held(now_ms, self.invocation, instance_id, &execution);
        }
        Ok(answer)
    }

    async fn step_outputs(&self, command_id: &str, id: &str) -> Result<Vec<String>, Fault> {
        let ms = self.latency(40);
        self.call("steps", ms, |state, _| {
            let command = state.commands.get(command_id);
            let one = command.and_then(|command| command.invocations.get(id));
            Ok(one.map(|one| vec![one.state.stdout.clone()]).unwrap_or_default())
        })
        .await
    }

    async fn find_command(&self, _: &SendCommand, _: u64) -> Result<Option<String>, Fault> {
        Err(fault(FaultKind::Refused, "NoVssHere"))
    }

    async fn cancel(&self, command_id: &str, instance_id: &str) -> Result<(), Fault> {
        let ms = self.latency(60);
        self.call("cancel", ms, |state, _| {
            state.reach("a command is cancelled");
            let command = state.commands.get_mut(command_id);
            if let Some(one) = command.and_then(|one| one.invocations.get_mut(instance_id)) {
                one.cancelled = true;
                one.state.progress = Progress::Cancelled;
            }
            Ok(())
        })
        .await
    }
}

impl Hand {
    /// Systems Manager tries for a while to hand the command to the instance.
    fn deliver(&self, state: &mut State, command_id: &str, instance_id: &str, secs: u64) {
        let trouble = state.trouble.clone();
        let ms = match () {
            () if state.rng.chance(trouble.undelivered) => {
                state.reach("trouble: a command is never delivered");
                u64::MAX
            }
            () if trouble.slow_ssm => state.rng.heavy_tail(1_500, 25_000),
            () => state.rng.heavy_tail(700, 2_500),
        };
        let (world, command_id) = (Arc::clone(&self.world), command_id.to_owned());
        let host = instance_id.to_owned();
        self.world.exec.spawn(async move {
            let limit_ms = secs * 1_000;
            world.exec.sleep(ms.min(limit_ms)).await;
            let online = |world: &World| {
                let now_ms = world.exec.now_ms();
                world.state().hosts.get(&host).is_some_and(|host| host.online(now_ms))
            };
            // An agent that is offline asks for its commands when it is back, if it is in time.
            let mut waited_ms = ms;
            while waited_ms < limit_ms && !online(&world) {
                world.exec.sleep(1_000).await;
                waited_ms += 1_000;
            }
            if waited_ms >= limit_ms {
                let mut state = world.state();
                let command = state.commands.get_mut(&command_id);
                if let Some(one) = command.and_then(|one| one.invocations.get_mut(&host)) {
                    one.cancelled = true;
                    one.state.progress = Progress::GivenUp;
                    "DeliveryTimedOut".clone_into(&mut one.state.details);
                }
                return;
            }
            world.execute(command_id, host).await;
        });
    }
}

/// Whether the list is enough to know that the pre-script has succeeded.
fn tells_all(state: &CommandState) -> bool {
    let receipt = stillpoint_wire::receipt::find(&state.stdout);
    state.progress == Progress::Succeeded && matches!(receipt, Ok(Some(_)))
}

impl State {
    fn pre_of(&self, command_id: &str) -> Option<String> {
        let pre = self.commands.get(command_id).filter(|one| one.stage == "pre-script")?;
        Some(pre.execution_id.clone())
    }
}
