//! One invocation's access to the world: every call takes its time, may fail in every way,
//! and may be the last thing that the function did.

mod commands;
mod planning;
mod records;
mod snapshots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stillpoint_drive::outside::{Bus, Clock, Fault, FaultKind, Journal};
use stillpoint_run::{Fact, Run, Seen};
use stillpoint_wire::event::{RUN_FINISHED, RUN_REQUESTED, RunFinished};

use crate::reach;
use crate::world::{State, World};

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

    /// Waits.
    pub(crate) async fn pause(&self, ms: u64) {
        self.world.exec.sleep(ms).await;
    }

    /// Waits for any time up to this.
    pub(crate) async fn pause_at_random(&self, ms_max: u64) {
        let ms = self.world.state().rng.below(ms_max);
        self.world.exec.sleep(ms).await;
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

impl Bus for Hand {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        // Ten events a call, eight calls at a time.
        let ms = self.latency(30) * (details.len() as u64).div_ceil(80);
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
