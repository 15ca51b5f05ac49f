//! What calls the functions: the scheduler, the bus, queues with redelivery, and Lambda,
//! which kills what takes too long.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures::future::{Either, select};
use serde_json::{Value, json};
use stillpoint_drive::outside::Firing;
use stillpoint_wire::queue::{BatchAnswer, QueueEvent};

use crate::hand::Hand;
use crate::world::World;

/// As in infra/template.yaml; a test of it holds them equal there.
const RUNNER_MS: u64 = 900_000;
const GUARD_MS: u64 = 300_000;
const PLANNER_MS: u64 = 300_000;
const RECEIVES_MAX: u32 = 5;
const BATCH: usize = 50;
const LETTERS: usize = 10;

/// The queue of requested runs, and where it gives up.
pub(crate) const RUNS: usize = 0;
const RUNS_DEAD: usize = 1;
const FIRINGS_DEAD: usize = 2;

/// A queue with its poller.
#[derive(Debug)]
pub(crate) struct Queue {
    /// By the time from which they can be received.
    messages: BTreeMap<(u64, u64), Message>,
    running: usize,
    running_max: usize,
    batch: usize,
    visibility_ms: u64,
    dead: Option<usize>,
}

#[derive(Clone, Debug)]
struct Message {
    id: u64,
    body: String,
    receives: u32,
}

impl Queue {
    /// All of them.
    #[must_use]
    pub(crate) fn all() -> Vec<Self> {
        let queue = |running_max, batch, visibility_ms, dead| Self {
            messages: BTreeMap::new(),
            running: 0,
            running_max,
            batch,
            visibility_ms,
            dead,
        };
        vec![
            queue(10, BATCH, 960_000, Some(RUNS_DEAD)),
            queue(2, LETTERS, 360_000, None),
            queue(2, LETTERS, 360_000, None),
        ]
    }

    /// Whether nothing is in it.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether somebody works on it.
    #[must_use]
    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Takes what can be taken now: the batch, and what has to be given up.
    fn take(&mut self, now_ms: u64) -> (Vec<Message>, Vec<Message>) {
        let (mut batch, mut given_up) = (vec![], vec![]);
        if self.running >= self.running_max {
            return (batch, given_up);
        }
        while batch.len() < self.batch {
            let Some(first) = self.messages.first_entry() else { break };
            if first.key().0 > now_ms {
                break;
            }
            let mut message = first.remove();
            if self.dead.is_some() && message.receives == RECEIVES_MAX {
                given_up.push(message);
                continue;
            }
            message.receives += 1;
            self.messages.insert((now_ms + self.visibility_ms, message.id), message.clone());
            batch.push(message);
        }
        self.running += usize::from(!batch.is_empty());
        (batch, given_up)
    }
}

impl World {
    /// A message arrives, now or later, once or twice, or never.
    pub(crate) fn deliver(self: &Arc<Self>, body: &str) {
        let delays = {
            let mut state = self.state();
            let trouble = state.trouble.clone();
            if state.rng.chance(trouble.lost_message) {
                state.reach("trouble: a message is lost");
                vec![]
            } else {
                let mut delays = vec![state.rng.between(20, 400)];
                if state.rng.chance(trouble.duplicate) {
                    state.reach("trouble: a message comes twice");
                    let after = state.rng.heavy_tail(2_000, 1_800_000);
                    delays.push(after);
                }
                if state.rng.chance(trouble.late) {
                    state.reach("trouble: a message comes late");
                    delays[0] += state.rng.heavy_tail(60_000, 5_400_000);
                }
                delays
            }
        };
        for delay in delays {
            let (world, body) = (Arc::clone(self), body.to_owned());
            self.exec.spawn(async move {
                world.exec.sleep(delay).await;
                world.enqueue(RUNS, body);
            });
        }
    }

    fn enqueue(self: &Arc<Self>, queue: usize, body: String) {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        let id = state.number();
        state.queues[queue].messages.insert((now_ms, id), Message { id, body, receives: 0 });
        drop(state);
        // The poller's batching window.
        self.pump_after(queue, 1_000);
    }

    fn pump_after(self: &Arc<Self>, queue: usize, ms: u64) {
        let world = Arc::clone(self);
        self.exec.spawn(async move {
            world.exec.sleep(ms).await;
            world.pump(queue);
        });
    }

    fn pump(self: &Arc<Self>, queue: usize) {
        let now_ms = self.exec.now_ms();
        let mut state = self.state();
        let (batch, given_up) = state.queues[queue].take(now_ms);
        let (dead, visibility) = (state.queues[queue].dead, state.queues[queue].visibility_ms);
        if !given_up.is_empty() {
            state.reach("trouble: a message is given up");
        }
        drop(state);
        if let Some(dead) = dead {
            for letter in given_up {
                self.enqueue(dead, letter.body);
            }
        }
        if batch.is_empty() {
            return;
        }
        self.pump_after(queue, visibility);
        self.pump_after(queue, 0);
        let hidden_until_ms = now_ms + visibility;
        let world = Arc::clone(self);
        self.exec.spawn(async move {
            let records: Vec<Value> = batch
                .iter()
                .map(|one| json!({ "messageId": one.id.to_string(), "body": one.body }))
                .collect();
            let event = json!({ "Records": records });
            let answer = if queue == RUNS {
                world.run_runner(&event).await
            } else {
                world.run_guard(event).await
            };
            let mut state = world.state();
            let number = queue;
            let queue = &mut state.queues[number];
            queue.running -= 1;
            // Whoever died has finished nothing.
            if let Some(answer) = answer {
                let failed = |id: u64| {
                    let failures = &answer.batch_item_failures;
                    failures.iter().any(|one| one.item_identifier == id.to_string())
                };
                for id in batch.iter().map(|one| one.id).filter(|id| !failed(*id)) {
                    queue.messages.remove(&(hidden_until_ms, id));
                }
            }
            drop(state);
            // Others may be waiting for the place.
            world.pump_after(number, 0);
        });
    }

    async fn run_runner(self: &Arc<Self>, event: &Value) -> Option<BatchAnswer> {
        let event: QueueEvent = serde_json::from_value(event.clone()).ok()?;
        self.invoke("runner", RUNNER_MS, async |hand: &Hand, id: &str, dead_at_ms| {
            stillpoint_runner::handle(hand, &event, id, dead_at_ms).await
        })
        .await
    }

    async fn run_guard(self: &Arc<Self>, event: Value) -> Option<BatchAnswer> {
        let answer = self.invoke("guard", GUARD_MS, async |hand: &Hand, id: &str, dead_at_ms| {
            stillpoint_guard::handle(hand, &event, id, dead_at_ms).await
        });
        answer.await?.ok()
    }

    /// Runs a function in an invocation of its own; none if it died.
    pub(crate) async fn invoke<T>(
        self: &Arc<Self>,
        function: &'static str,
        limit_ms: u64,
        handle: impl AsyncFnOnce(&Hand, &str, u64) -> T,
    ) -> Option<T> {
        let began_ms = self.exec.now_ms();
        let dead_at_ms = began_ms + limit_ms;
        let (invocation, skew_ms) = {
            let mut state = self.state();
            let invocation = state.number();
            state.alive.insert(invocation, dead_at_ms);
            let skew = state.trouble.skew_ms;
            let skew_ms = i64::try_from(state.rng.below(2 * skew + 1)).unwrap_or(0)
                - i64::try_from(skew).unwrap_or(0);
            (invocation, skew_ms)
        };
        let died = Arc::new(AtomicBool::new(false));
        let hand = Hand::new(Arc::clone(self), invocation, function, skew_ms, Arc::clone(&died));
        let request_id = format!("{function}-{invocation}");
        self.say(|| format!("{request_id} begins"));
        let limit = pin!(self.exec.sleep(limit_ms));
        let answer = {
            let mut work = pin!(handle(&hand, &request_id, dead_at_ms));
            let dies = std::future::poll_fn(|context| {
                let polled = work.as_mut().poll(context);
                if died.load(Relaxed) { std::task::Poll::Ready(None) } else { polled.map(Some) }
            });
            match select(pin!(dies), limit).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => None,
            }
        };
        let mut state = self.state();
        state.alive.remove(&invocation);
        let ms = self.exec.now_ms() - began_ms;
        let billed = state.billed.entry(function).or_default();
        *billed = (billed.0 + 1, billed.1 + ms);
        state.windows.retain(|(whose, _), _| *whose != invocation);
        if answer.is_none() {
            state.reach(&format!("trouble: the {function} dies"));
        }
        drop(state);
        self.say(|| format!("{request_id} {}", if answer.is_some() { "ends" } else { "DIES" }));
        answer
    }

    /// The guard, every minute.
    pub(crate) async fn guard_every_minute(self: Arc<Self>) {
        loop {
            self.exec.sleep(60_000).await;
            let world = Arc::clone(&self);
            self.exec.spawn(async move {
                world.run_guard(json!({})).await;
            });
        }
    }

    /// One firing of a schedule, which may be lost, late or delivered twice.
    pub(crate) async fn fire(self: Arc<Self>, firing: Firing, in_ms: u64, on_demand: bool) {
        let (lost, late, twice) = {
            let mut state = self.state();
            let trouble = state.trouble.clone();
            let lost = !on_demand && state.rng.chance(trouble.lost_firing);
            let late = if state.rng.chance(trouble.late) { state.rng.below(1_800_000) } else { 0 };
            (lost, late, !on_demand && state.rng.chance(trouble.duplicate))
        };
        self.exec.sleep(in_ms + late).await;
        if lost {
            self.say(|| "the scheduler loses a firing".to_owned());
            self.state().reach("trouble: a firing is lost");
            return;
        }
        for _ in 0..=usize::from(twice) {
            let world = Arc::clone(&self);
            let firing = firing.clone();
            self.exec.spawn(async move { world.plan(firing, on_demand).await });
            self.exec.sleep(3_000).await;
        }
    }

    /// Lambda's asynchronous invocation: twice more, then the dead-letter queue.
    async fn plan(self: Arc<Self>, firing: Firing, on_demand: bool) {
        let mut event = json!({ "policyId": firing.policy_id, "schedule": firing.schedule_name });
        if !on_demand {
            event["scheduledTime"] = firing.nominal_time.clone().into();
        }
        for wait_ms in [0, 60_000, 120_000] {
            self.exec.sleep(wait_ms).await;
            let planned = self.invoke("planner", PLANNER_MS, async |hand: &Hand, id: &str, _| {
                stillpoint_planner::handle(hand, &event, id).await
            });
            if let Some(Ok(_)) = planned.await {
                return;
            }
        }
        self.state().reach("trouble: a firing is given up");
        if !on_demand {
            self.enqueue(FIRINGS_DEAD, json!({ "requestPayload": event }).to_string());
        }
    }
}
