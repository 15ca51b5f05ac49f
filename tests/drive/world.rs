//! A world that keeps its state: one instance with an agent, SSM, EC2, a bus and a
//! ledger, all in memory, with virtual time. It knows what really happened, so that a
//! run's claims can be held against it.
//!
//! Every call from the drive is counted. `plan` says for one of them what goes wrong:
//! the driver dies before or after the effect, or the answer is an error.

use std::collections::BTreeMap;
use std::sync::Mutex;

use stillpoint_drive::outside::{
    Begun, Budget, Bus, Clock, CommandState, Commands, Fault, FaultKind, Journal, Lease, Ledger,
    Progress, Recorded, SaveFault, SendCommand, Slot, Snapshots,
};
use stillpoint_run::{Fact, Order, Run, Seen, SnapshotSet, SnapshotTaken};
use stillpoint_wire::event::RUN_FINISHED;
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
const BOOT: &str = "11111111-2222-4333-8444-555555555555";

fn receipt(stage: &str, id: &str, code: u8, state: &str, unbroken: bool) -> String {
    format!(
        r#"INFO some line
{{"stillpoint":1,"stage":"{stage}","executionId":"{id}","code":{code},"state":"{state}",
"bootId":"{BOOT}","hold":{{"unbroken":{unbroken},"frozenAtMs":5,"frozenMs":7,"deadlineMs":60000}},
"frozen":[{{"mount":"/data","fs":"ext4","dev":"259:1","volumes":["vol-a","vol-b"]}}]}}"#
    )
    .replace("\n\"", "\"")
}

impl World {
    fn execute(&self, state: &mut State, stage: &str, id: &str) -> CommandState {
        let (code, stdout) = match (stage, self.document) {
            ("pre-script", Document::PreFails) => {
                state.pre_ran.push(id.to_owned());
                (201, receipt(stage, id, 201, "failed", false))
            }
            (_, Document::Exits(which, code)) => {
                let ran =
                    if stage == "pre-script" { &mut state.pre_ran } else { &mut state.post_ran };
                ran.push(id.to_owned());
                (if which == stage { code } else { 0 }, "INFO done".to_owned())
            }
            ("pre-script", document) => {
                state.pre_ran.push(id.to_owned());
                if state.held.as_deref().is_some_and(|held| held != id) {
                    (204, receipt(stage, id, 204, "already-held", false))
                } else {
                    state.held = Some(id.to_owned());
                    state.held_since_ms = state.now_ms;
                    match document {
                        Document::NoReceipts => (0, "INFO done".to_owned()),
                        Document::Silent | Document::Skipped => (0, String::new()),
                        Document::Garbage => (0, "{\"stillpoint\":1,\"half".to_owned()),
                        _ => (0, receipt(stage, id, 0, "held", true)),
                    }
                }
            }
            (_, document) => {
                state.post_ran.push(id.to_owned());
                if document == Document::AutoThaws && state.held.as_deref() == Some(id) {
                    state.held = None;
                    (203, receipt(stage, id, 203, "auto-thawed", false))
                } else if document == Document::PostFails {
                    (202, receipt(stage, id, 202, "failed", false))
                } else if state.held.as_deref() == Some(id) {
                    state.held = None;
                    state.released.push(id.to_owned());
                    match document {
                        Document::NoReceipts | Document::Garbage => (0, "INFO done".to_owned()),
                        Document::Silent | Document::Skipped => (0, String::new()),
                        _ => (0, receipt(stage, id, 0, "released", true)),
                    }
                } else if state.auto_thawed.iter().any(|thawed| thawed == id) {
                    (203, receipt(stage, id, 203, "auto-thawed", false))
                } else if state.released.iter().any(|released| released == id) {
                    (205, receipt(stage, id, 205, "released", true))
                } else {
                    (205, receipt(stage, id, 205, "nothing-held", false))
                }
            }
        };
        let hangs = stage == "pre-script" && self.document == Document::PreHangs;
        let progress = match code {
            _ if hangs => Progress::Running,
            0 => Progress::Succeeded,
            _ => Progress::Failed,
        };
        let exit_code = Some(code).filter(|_| !hangs);
        CommandState { progress, details: String::new(), exit_code, stdout, stderr: String::new() }
    }
}

impl Commands for World {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        self.call("send", |state| {
            if !self.instance_exists {
                return Err(fault(FaultKind::Refused, "InvalidInstanceId"));
            }
            state.sent.push(command.parameters.clone());
            if let Document::Vss(_) = self.document {
                let command_id = format!("command-{}", state.vss.len());
                state.vss.push(Command::new(command_id.clone(), command, state.now_ms));
                return Ok(command_id);
            }
            let (stage, id) = (&command.parameters["command"], &command.parameters["executionId"]);
            let end = self.execute(state, &stage[0], &id[0]);
            let command_id = format!("command-{}", state.commands.len());
            state.commands.insert(command_id.clone(), end);
            Ok(command_id)
        })
        .await
    }

    async fn state(
        &self,
        command_id: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<CommandState, Fault> {
        self.call("state", |state| {
            if let Document::Vss(vss) = self.document {
                let command = state.vss.iter().find(|one| one.id == command_id).unwrap();
                return Ok(command.state(vss, state.now_ms));
            }
            Ok(state.commands[command_id].clone())
        })
        .await
    }

    async fn step_outputs(&self, _: &str, _: &str) -> Result<Vec<String>, Fault> {
        let skipped = self.document == Document::Skipped;
        let words = "Step execution skipped due to unsatisfied preconditions: 'x'. Step name: a";
        self.call("steps", |_| Ok(vec![if skipped { words } else { "" }.to_owned()])).await
    }

    async fn find_command(&self, sought: &SendCommand, _: u64) -> Result<Option<String>, Fault> {
        self.call("find_command", |state| {
            let found = state.vss.iter().find(|one| one.comment == sought.comment);
            Ok(found.map(|one| one.id.clone()))
        })
        .await
    }

    async fn cancel(&self, command_id: &str, _: &str) -> Result<(), Fault> {
        self.call("cancel", |state| {
            let now_ms = state.now_ms;
            for command in state.vss.iter_mut().filter(|one| one.id == command_id) {
                command.cancel(now_ms);
            }
            Ok(())
        })
        .await
    }
}

impl Snapshots for World {
    async fn create(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
    ) -> Result<SnapshotSet, Fault> {
        self.call("create", |state| {
            if !self.instance_exists {
                return Err(self.gone.clone());
            }
            let set = state.sets.len();
            let taken = order.volumes.iter().map(|volume| SnapshotTaken {
                snapshot_id: format!("snap-{set}-{}", volume.volume_id),
                volume_id: volume.volume_id.clone(),
                app_consistent: None,
            });
            let made = SnapshotSet { snapshots: taken.collect(), adopted: false };
            for snapshot in &made.snapshots {
                state.tags.insert(snapshot.snapshot_id.clone(), tags.clone());
            }
            let held = state.held.clone();
            state.sets.push((made.clone(), held));
            Ok(made)
        })
        .await
    }

    async fn find(&self, run_id: &str) -> Result<Option<SnapshotSet>, Fault> {
        self.call("find", |state| {
            let tagged = |one: &&SnapshotTaken| {
                let tags = &state.tags[&one.snapshot_id];
                tags.get("stillpoint:run-id").is_some_and(|id| id == run_id)
            };
            let all = state.sets.iter().flat_map(|(set, _)| &set.snapshots).filter(tagged);
            let snapshots: Vec<_> = all.map(|one| state.as_ec2_shows(one)).collect();
            Ok((!snapshots.is_empty()).then_some(SnapshotSet { snapshots, adopted: true }))
        })
        .await
    }

    async fn begun_since(&self, volume_ids: &[String], _: u64) -> Result<Vec<Begun>, Fault> {
        self.call("begun_since", |state| {
            let all = state.sets.iter().flat_map(|(set, _)| &set.snapshots);
            let of = all.filter(|one| volume_ids.contains(&one.volume_id));
            let begun = of.map(|one| Begun {
                taken: state.as_ec2_shows(one),
                at_ms: state.now_ms,
                description: state.described.get(&one.snapshot_id).cloned().unwrap_or_default(),
                tagged: !state.tags[&one.snapshot_id].is_empty(),
            });
            Ok(begun.collect())
        })
        .await
    }

    async fn tag(&self, id: &str, tags: &BTreeMap<String, String>) -> Result<(), Fault> {
        self.call("tag", |state| {
            state.tags.entry(id.to_owned()).or_default().extend(tags.clone());
            Ok(())
        })
        .await
    }
}

impl Bus for World {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        self.call("publish", |state| {
            for detail in details {
                if detail_type == RUN_FINISHED {
                    state.finished.push(detail);
                } else {
                    state.notified.push((detail_type.to_owned(), detail));
                }
            }
            Ok(())
        })
        .await
    }
}

impl Ledger for World {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        self.call("load", |state| Ok(state.ledger.get(run_id).cloned())).await
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        // The body goes through the wire, so that what is not written down is lost here too.
        let body = stillpoint_wire::ledger::write(run).unwrap();
        let run = stillpoint_wire::ledger::read(&body).unwrap();
        let answer = self.call("save", |state| {
            let found = state.ledger.get(&run.order.run_id).map(|one| one.version);
            if found != expected {
                return Ok(None);
            }
            let version = expected.unwrap_or(0) + 1;
            let recorded = Recorded { run: run.clone(), version, lease: lease.clone() };
            state.ledger.insert(run.order.run_id.clone(), recorded);
            Ok(Some(version))
        });
        match answer.await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }

    async fn overdue(&self, now_ms: u64, _: usize) -> Result<Vec<String>, Fault> {
        self.call("overdue", |state| {
            let due = state.ledger.iter().filter(|(_, one)| one.lease.due_ms < now_ms);
            Ok(due.map(|(id, _)| id.clone()).collect())
        })
        .await
    }
}

impl Budget for World {
    async fn reserve(&self, by_ms: u64) -> Result<Slot, Fault> {
        let wait_ms = self.wait_ms;
        self.call("reserve", |state| {
            let at_ms = state.now_ms + wait_ms;
            Ok(if at_ms > by_ms { Slot::NotBefore(at_ms) } else { Slot::At(at_ms) })
        })
        .await
    }

    async fn throttled(&self) -> Result<(), Fault> {
        self.call("throttled", |_| Ok(())).await
    }
}

impl Journal for World {
    fn step(&self, _: &Run, _: &Seen, _: &[Fact]) {}

    fn metric(&self, _: String) {}
}
