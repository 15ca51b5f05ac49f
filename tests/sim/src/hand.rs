//! One invocation's access to the world: every call takes its time, may fail in every way,
//! and may be the last thing that the function did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stillpoint_budget::Bucket;
use stillpoint_drive::outside::{
    Begun, Buckets, Bus, Clock, CommandState, Commands, Deployed, Fault, FaultKind, Firing, Fleet,
    Journal, Lease, Ledger, Planning, Progress, Recorded, SaveFault, SendCommand, Snapshots, Watch,
};
use stillpoint_policy::{Attached, Instance, Inventory, Managed, Platform, Tag};
use stillpoint_run::{Fact, Order, Phase, Run, Seen, SnapshotSet, SnapshotTaken};
use stillpoint_wire::event::{RUN_FINISHED, RUN_REQUESTED, RunFinished};
use stillpoint_wire::ledger;

use crate::reach;
use crate::world::{Command, Invocation, Set, State, Window, World};

/// See the module.
#[derive(Debug)]
pub(crate) struct Hand {
    world: Arc<World>,
    invocation: u64,
    function: &'static str,
    skew_ms: i64,
    died: Arc<AtomicBool>,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    DieBefore,
    DieAfter,
    Throttle,
    Refuse,
    LoseCall,
    LoseReply,
    /// The SDK lost the first reply and tells that of the second call.
    Twice,
}

impl Hand {
    /// Of an invocation, whose clock is off by this.
    #[must_use]
    pub(crate) fn new(
        world: Arc<World>,
        invocation: u64,
        function: &'static str,
        skew_ms: i64,
        died: Arc<AtomicBool>,
    ) -> Self {
        Self { world, invocation, function, skew_ms, died }
    }

    fn trouble(&self, name: &'static str) -> Option<Trouble> {
        let mut state = self.world.state();
        *state.calls.entry(name).or_default() += 1;
        let rates = state.trouble.clone();
        let death = if self.function == "guard" { rates.death / 4 } else { rates.death };
        // The SDK sends most calls three times before it gives up.
        let tries = if ONCE.contains(&name) { 1 } else { 3 };
        let fails = |state: &mut State, rate| (0..tries).all(|_| state.rng.chance(rate));
        let (kind, what) = if state.rng.chance(death) {
            let after = state.rng.chance(5_000);
            if after {
                (Trouble::DieAfter, "dies after")
            } else {
                (Trouble::DieBefore, "dies before")
            }
        } else if fails(&mut state, rates.throttle) {
            (Trouble::Throttle, "is throttled at")
        } else if state.rng.chance(rates.refused) && REFUSABLE.contains(&name) {
            (Trouble::Refuse, "is refused")
        } else if CONDITIONAL.contains(&name) && state.rng.chance(rates.lost_reply) {
            (Trouble::Twice, "sends twice")
        } else if fails(&mut state, rates.lost_reply) {
            let call = state.rng.chance(3_000);
            if call {
                (Trouble::LoseCall, "loses the call of")
            } else {
                (Trouble::LoseReply, "loses the reply of")
            }
        } else {
            return None;
        };
        state.reach(&format!("trouble: {} {what} {name}", self.function));
        let now_ms = self.world.exec.now_ms();
        state.say(now_ms, || format!("{}-{} {what} {name}", self.function, self.invocation));
        Some(kind)
    }

    /// Makes a call: it takes `ms`, and its effect happens in the middle of it.
    async fn call<T>(
        &self,
        name: &'static str,
        ms: u64,
        mut effect: impl FnMut(&mut State, u64) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let trouble = self.trouble(name);
        if trouble == Some(Trouble::DieBefore) {
            return self.die().await;
        }
        self.world.exec.sleep(ms / 2 + 1).await;
        match trouble {
            Some(Trouble::Throttle) => {
                return Err(fault(FaultKind::Retry, throttle_code(name)));
            }
            Some(Trouble::Refuse) => return Err(fault(FaultKind::Refused, "AccessDenied")),
            Some(Trouble::LoseCall) => {
                self.world.exec.sleep(ms).await;
                return Err(fault(FaultKind::Unknown, "ConnectionLost"));
            }
            _ => {}
        }
        let answer = {
            let now_ms = self.world.exec.now_ms();
            let mut state = self.world.state();
            let mut answer = effect(&mut state, now_ms);
            if trouble == Some(Trouble::Twice) {
                answer = effect(&mut state, now_ms);
            }
            state.check(now_ms);
            answer
        };
        if trouble == Some(Trouble::DieAfter) {
            return self.die().await;
        }
        self.world.exec.sleep(ms / 2 + 1).await;
        if trouble == Some(Trouble::LoseReply) {
            return Err(fault(FaultKind::Unknown, "ConnectionLost"));
        }
        answer
    }

    async fn die<T>(&self) -> T {
        self.died.store(true, Relaxed);
        std::future::pending().await
    }

    fn latency(&self, median_ms: u64) -> u64 {
        self.world.state().rng.heavy_tail(median_ms, median_ms * 8)
    }
}

/// Calls that are sent once, whatever happens.
const ONCE: [&str; 4] = ["create", "send", "states", "state"];
/// Writes on a condition, which refuse what they have already done.
const CONDITIONAL: [&str; 2] = ["save", "save bucket"];
/// Calls that somebody may not be allowed to make, or that name something that is gone.
const REFUSABLE: [&str; 4] = ["send", "create", "tag", "inventory"];

fn throttle_code(name: &str) -> &'static str {
    if name == "create" { "RequestLimitExceeded" } else { "ThrottlingException" }
}

fn fault(kind: FaultKind, code: &str) -> Fault {
    Fault { kind, code: code.to_owned(), text: "in the simulator".to_owned() }
}

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.world.exec.now_ms().saturating_add_signed(self.skew_ms)
    }

    async fn sleep_ms(&self, ms: u64) {
        self.world.exec.sleep(ms).await;
    }
}

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
            let volumes = volumes.split(',').filter(|one| !one.is_empty()).map(str::to_owned);
            let made = Command {
                stage: stage.clone(),
                execution_id: execution_id.clone(),
                ours: command.document.starts_with("Stillpoint-"),
                volumes: volumes.collect(),
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
    /// The call is lost on its way, and takes effect when nobody waits for it any more.
    async fn create_late(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
        after_ms: u64,
    ) -> Result<SnapshotSet, Fault> {
        let (world, order, tags) = (Arc::clone(&self.world), order.clone(), tags.clone());
        self.world.state().reach("trouble: a set comes into being late");
        self.world.exec.spawn(async move {
            world.exec.sleep(after_ms).await;
            let now_ms = world.exec.now_ms();
            let mut state = world.state();
            let volumes = state.hosts.get(&order.instance_id).filter(|host| !host.terminated);
            if let Some(volumes) = volumes.map(|host| host.volumes.clone()) {
                state.make_set(now_ms, &order, &tags, &volumes);
            }
        });
        self.world.exec.sleep(15_000).await;
        Err(fault(FaultKind::Unknown, "Timeout"))
    }

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

impl Snapshots for Hand {
    async fn create(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
    ) -> Result<SnapshotSet, Fault> {
        let ms = self.latency(250);
        {
            let now_ms = self.world.exec.now_ms();
            self.world.state().creates_now(now_ms, self.invocation, order);
        }
        let late = {
            let mut state = self.world.state();
            let rate = state.trouble.lost_reply / 2;
            state.rng.chance(rate).then(|| state.rng.between(1_000, 90_000))
        };
        if let Some(after_ms) = late {
            return self.create_late(order, tags, after_ms).await;
        }
        let answer = self
            .call("create", ms, |state, now_ms| {
                let host = state.hosts.get(&order.instance_id);
                let Some(host) = host.filter(|host| !host.terminated) else {
                    return Err(fault(FaultKind::Refused, "InvalidInstanceID.NotFound"));
                };
                let volumes: Vec<String> = host.volumes.clone();
                if !state.ec2.take(now_ms) {
                    state.reach("trouble: EC2's bucket is empty");
                    state.emptied(now_ms);
                    return Err(fault(FaultKind::Retry, "RequestLimitExceeded"));
                }
                Ok(state.make_set(now_ms, order, tags, &volumes))
            })
            .await;
        let now_ms = self.world.exec.now_ms();
        let mut state = self.world.state();
        let key = (self.invocation, order.run_id.clone());
        if let Some(window @ Window::Held(_)) = state.windows.get_mut(&key) {
            *window = Window::Created(now_ms);
        }
        answer
    }

    async fn find(&self, run_id: &str) -> Result<Option<SnapshotSet>, Fault> {
        let ms = self.latency(120);
        self.call("find", ms, |state, now_ms| {
            let found =
                state.sets.iter().find(|set| set.run_id == run_id && set.hidden_until_ms <= now_ms);
            Ok(found.map(|set| SnapshotSet { adopted: true, ..set.set.clone() }))
        })
        .await
    }

    async fn begun_since(&self, _: &[String], _: u64) -> Result<Vec<Begun>, Fault> {
        Err(fault(FaultKind::Refused, "NoVssHere"))
    }

    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), Fault> {
        let ms = self.latency(100);
        self.call("tag", ms, |state, now_ms| {
            state.labelled(now_ms, id, tags);
            state.tags.entry(id.to_owned()).or_default().extend(tags.clone());
            Ok(())
        })
        .await
    }
}

impl Bus for Hand {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        let ms = self.latency(30);
        self.call("publish", ms, |state, now_ms| {
            let mut requested = vec![];
            for detail in &details {
                if detail_type == RUN_FINISHED {
                    match serde_json::from_str::<RunFinished>(detail) {
                        Ok(event) => state.told(now_ms, event),
                        Err(error) => state.violated(now_ms, format!("event: {error}")),
                    }
                } else if detail_type == RUN_REQUESTED {
                    state.asked(now_ms, detail);
                    requested.push(format!(
                        "{{\"detail-type\":\"{RUN_REQUESTED}\",\"detail\":{detail}}}"
                    ));
                }
            }
            let world = &self.world;
            for body in requested {
                let world = Arc::clone(world);
                // In a task, since the state is in use.
                self.world.exec.spawn(async move { world.deliver(&body) });
            }
            Ok(())
        })
        .await
    }
}

impl Ledger for Hand {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        let ms = self.latency(6);
        self.call("load", ms, |state, _| Ok(state.ledger.get(run_id).cloned())).await
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        let ms = self.latency(8);
        // Through the wire, so that what is not written down is lost here too.
        let body = ledger::write(run).unwrap_or_default();
        let answer = self.call("save", ms, |state, now_ms| {
            let Ok(run) = ledger::read(&body) else {
                state.violated(now_ms, format!("not a body of the ledger: {body}"));
                return Ok(None);
            };
            let found = state.ledger.get(&run.order.run_id).map(|one| one.version);
            if found != expected {
                state.reach("a write is overtaken");
                return Ok(None);
            }
            state.recorded(now_ms, &run);
            let version = expected.unwrap_or(0) + 1;
            let recorded = Recorded { run: run.clone(), version, lease: lease.clone() };
            state.requested.entry(run.order.run_id.clone()).or_insert_with(|| run.order.clone());
            state.ledger.insert(run.order.run_id.clone(), recorded);
            Ok(Some(version))
        });
        match answer.await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }

    async fn overdue(&self, now_ms: u64, limit: usize) -> Result<Vec<String>, Fault> {
        let ms = self.latency(10);
        self.call("overdue", ms, |state, _| {
            let open = state.ledger.iter().filter(|(_, one)| one.run.phase != Phase::Done);
            let mut due: Vec<_> = open
                .filter(|(_, one)| one.lease.due_ms < now_ms)
                .map(|(id, one)| (one.lease.due_ms, id.clone()))
                .collect();
            due.sort();
            due.truncate(limit);
            Ok(due.into_iter().map(|(_, id)| id).collect())
        })
        .await
    }
}

impl Buckets for Hand {
    async fn bucket(&self) -> Result<(Bucket, Option<u64>), Fault> {
        let ms = self.latency(6);
        self.call("bucket", ms, |state, _| Ok(state.bucket)).await
    }

    async fn save_bucket(&self, bucket: &Bucket, expected: Option<u64>) -> Result<(), SaveFault> {
        let ms = self.latency(8);
        let answer = self.call("save bucket", ms, |state, _| {
            if state.bucket.1 != expected {
                state.reach("a reservation is overtaken");
                return Ok(false);
            }
            if bucket.throttled_ms > state.bucket.0.throttled_ms {
                state.reach("the budget learns");
            }
            state.bucket = (*bucket, Some(expected.unwrap_or(0) + 1));
            Ok(true)
        });
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }
}

impl Planning for Hand {
    async fn see_vss_components(&self, _: &mut Inventory) -> Result<(), Fault> {
        Ok(())
    }

    async fn policy_json(&self, policy_id: &str) -> Result<String, Fault> {
        let ms = self.latency(30);
        self.call("policy", ms, |state, _| {
            let json = state.policies.get(policy_id).cloned();
            json.ok_or_else(|| fault(FaultKind::Refused, "ParameterNotFound"))
        })
        .await
    }

    async fn inventory(&self, _: &[Tag], _: Option<&[String]>) -> Result<Inventory, Fault> {
        let ms = self.latency(200);
        self.call("inventory", ms, |state, now_ms| {
            let instances = state.hosts.values().map(|host| {
                let device =
                    |index: usize| format!("/dev/sd{}", char::from(b'f' + index.to_le_bytes()[0]));
                let volumes = host.volumes.iter().enumerate().map(|(index, id)| Attached {
                    volume_id: id.clone(),
                    device: device(index),
                    size_gib: 8,
                    tags: BTreeMap::new(),
                });
                let managed = match (host.managed, host.online(now_ms)) {
                    (false, _) => Managed::NotManaged,
                    (true, true) => Managed::Online { agent_version: "3.3".to_owned() },
                    (true, false) => Managed::Lost { ping_status: "ConnectionLost".to_owned() },
                };
                Instance {
                    id: host.id.clone(),
                    state: if host.terminated { "terminated" } else { "running" }.to_owned(),
                    platform: Platform::Linux,
                    instance_type: "m7g.large".to_owned(),
                    launched_ms: None,
                    backed_up_ms: None,
                    vss_components: Default::default(),
                    tags: host.policy_tags.clone(),
                    root_device: "/dev/xvda".to_owned(),
                    volumes: volumes.collect(),
                    managed,
                }
            });
            Ok(Inventory { instances: instances.collect() })
        })
        .await
    }
}

impl Watch for Hand {
    async fn deployed(&self) -> Result<Vec<Deployed>, Fault> {
        let ms = self.latency(30);
        self.call("deployed", ms, |state, _| Ok(state.deployed.clone())).await
    }

    async fn has_fired(&self, firing: &Firing) -> Result<bool, Fault> {
        let ms = self.latency(6);
        self.call("has fired", ms, |state, _| Ok(state.fired.contains(firing))).await
    }

    async fn record_firing(&self, firing: &Firing) -> Result<(), Fault> {
        let ms = self.latency(8);
        self.call("record firing", ms, |state, _| {
            state.fired.insert(firing.clone());
            if self.function == "guard" {
                state.found_missing.insert(firing.clone());
            }
            Ok(())
        })
        .await
    }
}

impl Journal for Hand {
    fn step(&self, run: &Run, seen: &Seen, facts: &[Fact]) {
        let now_ms = self.world.exec.now_ms();
        let mut state = self.world.state();
        state.reach(&reach::branch(run, seen, facts));
        for fact in facts {
            state.reach(&format!("fact: {}", reach::fact(fact)));
            if let Fact::Judged(verdict) = fact {
                let code = verdict.cause.as_ref().map_or("none", |cause| cause.code.as_str());
                state.reach(&format!("verdict: {} {code}", verdict.outcome.as_str()));
            }
        }
        state.say(now_ms, || {
            let id = &run.order.run_id;
            format!(
                "{}-{} {id} on {}: {}",
                self.function,
                self.invocation,
                run.order.instance_id,
                reach::branch(run, seen, facts)
            )
        });
    }

    fn metric(&self, line: String) {
        let now_ms = self.world.exec.now_ms();
        if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line)
            && let Some(missing) = line.get("RunsMissing").and_then(serde_json::Value::as_u64)
        {
            let mut state = self.world.state();
            state.missing.push((now_ms, missing));
            if missing > 0 {
                state.reach("RunsMissing");
                state.say(now_ms, || format!("RunsMissing {missing}"));
            }
        }
    }
}

/// The answer of a call that made a set.
pub(crate) fn taken(set: u64, volumes: &[String]) -> SnapshotSet {
    let one = |volume: &String| SnapshotTaken {
        snapshot_id: format!("snap-{set}-{volume}"),
        volume_id: volume.clone(),
        app_consistent: None,
    };
    SnapshotSet { snapshots: volumes.iter().map(one).collect(), adopted: false }
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

    fn make_set(
        &mut self,
        now_ms: u64,
        order: &Order,
        tags: &BTreeMap<String, String>,
        volumes: &[String],
    ) -> SnapshotSet {
        let number = self.number();
        let set = taken(number, volumes);
        for one in &set.snapshots {
            self.tags.insert(one.snapshot_id.clone(), tags.clone());
        }
        let host = &self.hosts[&order.instance_id];
        let held = host.held().map(|(id, held)| (id.clone(), held.ours));
        let lag = if self.trouble.lagging_tags { self.rng.below(10_000) } else { 0 };
        self.say(now_ms, || format!("a set of {} is made, held by {held:?}", order.instance_id));
        self.sets.push(Set {
            run_id: order.run_id.clone(),
            instance_id: order.instance_id.clone(),
            set: set.clone(),
            made_ms: now_ms,
            held,
            hidden_until_ms: now_ms + lag,
        });
        set
    }
}
