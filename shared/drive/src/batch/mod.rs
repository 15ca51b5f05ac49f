//! A batch of runs in one function, seen by each of them as if it were alone: what several
//! of them ask for at the same time goes out as one call.
//!
//! The drive stays one run at a time. Commands that can be one (`merge`) are gathered for
//! [`GATHER_MS`] and sent to all their instances at once; one answer tells all who wait for
//! the same command; reservations are made together.

mod gather;
mod merge;
mod polls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use stillpoint_run::{Fact, Order, Run, Seen, SnapshotSet};

use crate::budget;
use crate::outside::{
    Account, Begun, Budget, Bus, Clock, CommandState, Commands, Fault, FaultKind, Journal, Lease,
    Ledger, Progress, Recorded, SaveFault, SendCommand, Slot, Snapshots,
};
use gather::Gather;
use polls::Polls;

/// How long one waits for others to ask for the same. Whoever has an instance frozen waits
/// this much longer for its thaw, so it is short.
const GATHER_MS: u64 = 10;

type Sends = Gather<SendCommand, Result<String, Fault>>;

/// See the module.
#[derive(Debug)]
pub struct Batch<'a, A> {
    account: &'a A,
    salt: u64,
    sends: Mutex<HashMap<merge::Key, Sends>>,
    polls: Polls,
    reserves: Gather<u64, Result<Slot, Fault>>,
}

impl<'a, A: Account> Batch<'a, A> {
    /// A batch in this account. `name` is the invocation's, which no other has.
    #[must_use]
    pub fn new(account: &'a A, name: &str) -> Self {
        let salt = name.bytes().fold(7, |salt: u64, byte| salt.wrapping_mul(31) + u64::from(byte));
        Self {
            account,
            salt,
            sends: Mutex::default(),
            polls: Polls::default(),
            reserves: Gather::default(),
        }
    }

    async fn reserve_all(&self, by_ms: Vec<u64>) -> Vec<Result<Slot, Fault>> {
        match budget::reserve(self.account, &by_ms, self.salt).await {
            Ok(slots) => slots.into_iter().map(Ok).collect(),
            Err(fault) => by_ms.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    async fn send_all(&self, commands: Vec<SendCommand>) -> Vec<Result<String, Fault>> {
        let mut answers = vec![];
        for commands in merge::groups(&commands) {
            let ids: Vec<String> = commands.iter().map(|one| one.instance_id.clone()).collect();
            let Some(command) = merge::merged(commands) else { continue };
            match self.account.send_to(&ids, &command).await {
                // One that SSM does not take refuses the call for all: each by itself.
                Err(fault) if fault.kind == FaultKind::Refused && commands.len() > 1 => {
                    let alone = commands.iter().map(|one| self.account.send(one));
                    answers.extend(futures::future::join_all(alone).await);
                }
                answer => answers.extend(commands.iter().map(|_| answer.clone())),
            }
        }
        answers
    }
}

impl<A: Account> Commands for Batch<'_, A> {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        // What is found again by its comment has to keep it.
        if !command.parameters.contains_key("executionId") {
            return self.account.send(command).await;
        }
        let gather = gather::lock(&self.sends).entry(merge::key(command)).or_default().clone();
        let wait = self.account.sleep_ms(GATHER_MS);
        let answer = gather.join(command.clone(), wait, |all| self.send_all(all));
        answer.await.unwrap_or_else(|| Err(gone("SendCommand")))
    }

    async fn state(
        &self,
        command_id: &str,
        instance_id: &str,
        step: Option<&str>,
    ) -> Result<CommandState, Fault> {
        if step.is_some() {
            return self.account.state(command_id, instance_id, step).await;
        }
        let state = match self.polls.end_of(command_id, instance_id) {
            Some(state) => state,
            None => {
                let states = self.polls.ask(command_id, || self.account.states(command_id)).await?;
                let Some((_, state)) = states.iter().find(|(id, _)| id == instance_id) else {
                    return Ok(CommandState::waiting());
                };
                state.clone()
            }
        };
        // What a list shows of an output may be cut; a whole receipt is all that matters.
        let whole = match state.progress {
            Progress::Waiting | Progress::Running | Progress::NeverRan => true,
            Progress::Succeeded => {
                matches!(stillpoint_wire::receipt::find(&state.stdout), Ok(Some(_)))
            }
            Progress::Failed | Progress::OutOfTime | Progress::Cancelled | Progress::GivenUp => {
                false
            }
        };
        if whole { Ok(state) } else { self.account.state(command_id, instance_id, None).await }
    }

    async fn step_outputs(
        &self,
        command_id: &str,
        instance_id: &str,
    ) -> Result<Vec<String>, Fault> {
        self.account.step_outputs(command_id, instance_id).await
    }

    async fn find_command(
        &self,
        sought: &SendCommand,
        since_ms: u64,
    ) -> Result<Option<String>, Fault> {
        self.account.find_command(sought, since_ms).await
    }

    async fn cancel(&self, command_id: &str, instance_id: &str) -> Result<(), Fault> {
        self.account.cancel(command_id, instance_id).await
    }
}

impl<A: Account> Budget for Batch<'_, A> {
    async fn reserve(&self, by_ms: u64) -> Result<Slot, Fault> {
        let wait = self.account.sleep_ms(GATHER_MS);
        let answer = self.reserves.join(by_ms, wait, |all| self.reserve_all(all));
        answer.await.unwrap_or_else(|| Err(gone("the reservation")))
    }

    async fn throttled(&self) -> Result<(), Fault> {
        budget::throttled(self.account).await
    }
}

/// Whoever asked for all of them is not there any more, which only a panic does.
fn gone(what: &str) -> Fault {
    Fault {
        kind: FaultKind::Unknown,
        code: "AnswerLost".to_owned(),
        text: format!("{what}: the run that asked for all of them ended"),
    }
}

impl<A: Account> Clock for Batch<'_, A> {
    fn now_ms(&self) -> u64 {
        self.account.now_ms()
    }

    async fn sleep_ms(&self, ms: u64) {
        self.account.sleep_ms(ms).await;
    }
}

impl<A: Account> Snapshots for Batch<'_, A> {
    async fn create(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
    ) -> Result<SnapshotSet, Fault> {
        self.account.create(order, tags).await
    }

    async fn find(&self, run_id: &str) -> Result<Option<SnapshotSet>, Fault> {
        self.account.find(run_id).await
    }

    async fn begun_since(&self, volume_ids: &[String], since_ms: u64) -> Result<Vec<Begun>, Fault> {
        self.account.begun_since(volume_ids, since_ms).await
    }

    async fn tag(&self, resource_id: &str, tags: &BTreeMap<String, String>) -> Result<(), Fault> {
        self.account.tag(resource_id, tags).await
    }
}

impl<A: Account> Bus for Batch<'_, A> {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        self.account.publish(detail_type, details).await
    }
}

impl<A: Account> Ledger for Batch<'_, A> {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        self.account.load(run_id).await
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        self.account.save(run, expected, lease).await
    }

    async fn overdue(&self, now_ms: u64, limit: usize) -> Result<Vec<String>, Fault> {
        self.account.overdue(now_ms, limit).await
    }
}

impl<A: Account> Journal for Batch<'_, A> {
    fn step(&self, run: &Run, seen: &Seen, facts: &[Fact]) {
        self.account.step(run, seen, facts);
    }

    fn metric(&self, line: String) {
        self.account.metric(line);
    }
}
