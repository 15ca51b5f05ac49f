//! A world that keeps its state: one instance with an agent, SSM, EC2, a bus and a
//! ledger, all in memory, with virtual time. It knows what really happened, so that a
//! run's claims can be held against it.
//!
//! Every call from the drive is counted. `plan` says for one of them what goes wrong:
//! the driver dies before or after the effect, or the answer is an error.

mod commands;
mod records;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Mutex;

use stillpoint_drive::outside::{Clock, CommandState, Fault, FaultKind, Recorded};
use stillpoint_run::{SnapshotSet, SnapshotTaken};
use stillpoint_wire::vss::app_consistent;

use super::instance::{Command, Vss};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    DieBefore,
    DieAfter,
    Refuse,
    Throttle,
    LoseReply,
}

impl Trouble {
    pub(crate) const ALL: [Self; 5] =
        [Self::DieBefore, Self::DieAfter, Self::Refuse, Self::Throttle, Self::LoseReply];
}

/// What the instance's document does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Agent,
    NoReceipts,
    PreFails,
    PreHangs,
    AutoThaws,
    PostFails,
    Garbage,
    /// That stage exits with this code, and prints no receipts.
    Exits(&'static str, i32),
    /// Both stages end with success and print nothing, since they were skipped.
    Skipped,
    /// Both stages end with success and print nothing.
    Silent,
    Vss(Vss),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) calls: Vec<&'static str>,
    pub(crate) held: Option<String>,
    held_since_ms: u64,
    auto_thawed: Vec<String>,
    pub(crate) sent: Vec<BTreeMap<String, Vec<String>>>,
    pub(crate) pre_ran: Vec<String>,
    pub(crate) post_ran: Vec<String>,
    /// Each set with the execution id that was held around its creation, if one was.
    pub(crate) sets: Vec<(SnapshotSet, Option<String>)>,
    pub(crate) finished: Vec<String>,
    pub(crate) tags: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) ledger: BTreeMap<String, Recorded>,
    /// The calls that were made between a freeze and its post-script.
    pub(crate) in_window: Vec<&'static str>,
    /// What was published beside that: detail type and detail.
    pub(crate) notified: Vec<(String, String)>,
    commands: BTreeMap<String, CommandState>,
    pub(crate) vss: Vec<Command>,
    described: BTreeMap<String, String>,
    released: Vec<String>,
}

pub(crate) struct World {
    pub(crate) state: Mutex<State>,
    pub(crate) document: Document,
    pub(crate) instance_exists: bool,
    /// What EC2 says of an instance that does not exist.
    pub(crate) gone: Fault,
    pub(crate) plan: Option<(usize, Trouble)>,
    /// How long the budget makes everybody wait.
    pub(crate) wait_ms: u64,
    /// The calls before which another driver gets its turn.
    pub(crate) pauses: Vec<usize>,
}

impl World {
    pub(crate) fn new(document: Document) -> Self {
        let state = State { now_ms: BEGINNING_MS, ..State::default() };
        let gone = fault(FaultKind::Refused, "InvalidInstanceID.NotFound");
        Self {
            state: Mutex::new(state),
            document,
            instance_exists: true,
            gone,
            plan: None,
            wait_ms: 0,
            pauses: vec![],
        }
    }

    pub(crate) fn with(mut self, plan: (usize, Trouble)) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Counts a call, lets its effect happen as planned, and answers.
    async fn call<T>(
        &self,
        name: &'static str,
        effect: impl FnOnce(&mut State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.pauses.contains(&self.state.lock().unwrap().calls.len()) {
            self.state.lock().unwrap().calls.push("turn");
            turn().await;
        }
        let trouble = {
            let mut state = self.state.lock().unwrap();
            state.auto_thaw();
            state.go_on(self.document);
            state.calls.push(name);
            if state.held.as_ref().is_some_and(|held| !state.post_ran.contains(held)) {
                state.in_window.push(name);
            }
            let index = state.calls.len() - 1;
            self.plan.filter(|(at, _)| *at == index).map(|(_, trouble)| trouble)
        };
        match trouble {
            Some(Trouble::DieBefore) => std::future::pending().await,
            Some(Trouble::Refuse) => return Err(fault(FaultKind::Refused, "AccessDenied")),
            Some(Trouble::Throttle) => return Err(fault(FaultKind::Retry, "Throttling")),
            Some(Trouble::DieAfter | Trouble::LoseReply) | None => {}
        }
        let answer = effect(&mut self.state.lock().unwrap());
        match trouble {
            Some(Trouble::DieAfter) => std::future::pending().await,
            Some(Trouble::LoseReply) => Err(fault(FaultKind::Unknown, "ConnectionLost")),
            _ => answer,
        }
    }
}

impl State {
    /// The VSS documents that run on the instance.
    pub(crate) fn go_on(&mut self, document: Document) {
        let Document::Vss(vss) = document else { return };
        for command in &mut self.vss {
            let had = command.made.is_some();
            command.go_on(vss, self.now_ms, &mut self.tags, &mut self.described);
            if let Some(set) = command.made.as_ref().filter(|_| !had) {
                self.sets.push((set.clone(), None));
            }
        }
    }

    fn as_ec2_shows(&self, one: &SnapshotTaken) -> SnapshotTaken {
        let app_consistent = app_consistent(&self.tags[&one.snapshot_id]);
        SnapshotTaken { app_consistent, ..one.clone() }
    }

    /// The agent's own deadline, which nobody has to be alive for.
    fn auto_thaw(&mut self) {
        if self.now_ms.saturating_sub(self.held_since_ms) >= DEADLINE_MS {
            self.auto_thawed.extend(self.held.take());
        }
    }
}

/// Lets whoever polls do something else first.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|_| {
        let ready = std::mem::replace(&mut waited, true);
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

pub(crate) fn fault(kind: FaultKind, code: &str) -> Fault {
    Fault { kind, code: code.to_owned(), text: "by the test".to_owned() }
}

impl Clock for World {
    fn now_ms(&self) -> u64 {
        self.state.lock().unwrap().now_ms
    }

    async fn sleep_ms(&self, ms: u64) {
        self.state.lock().unwrap().now_ms += ms.max(1);
    }
}

pub(crate) const BEGINNING_MS: u64 = 1_800_000_000_000;
const DEADLINE_MS: u64 = 60_000;
