//! What there is: hosts, commands, snapshot sets, records, queues, and what went wrong so
//! far. It knows what really happened, so that the engine's claims can be held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use stillpoint_budget::Bucket;
use stillpoint_drive::outside::{CommandState, Deployed, Firing, Recorded};
use stillpoint_run::Order;
use stillpoint_wire::event::RunFinished;

use crate::exec::{Exec, lock};
use crate::host::Host;
use crate::lambda::Queue;
use crate::rng::Rng;
use crate::sets::Sets;
use crate::trouble::Trouble;

/// One seed's world.
#[derive(Debug)]
pub(crate) struct World {
    /// Time.
    pub(crate) exec: Exec,
    state: Mutex<State>,
}

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) trouble: Trouble,
    pub(crate) hosts: BTreeMap<String, Host>,
    pub(crate) commands: BTreeMap<String, Command>,
    pub(crate) sets: Sets,
    /// Run ids by instance.
    pub(crate) runs_of: BTreeMap<String, BTreeSet<String>>,
    /// (deadline, instance, execution id) of the holds whose deadline nobody has looked at yet.
    pub(crate) armed: BTreeSet<(u64, String, String)>,
    /// Snapshot or instance id -> tags.
    pub(crate) tags: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) ledger: BTreeMap<String, Recorded>,
    pub(crate) bucket: (Bucket, Option<u64>),
    pub(crate) ec2: Ec2Bucket,
    pub(crate) policies: BTreeMap<String, String>,
    pub(crate) deployed: Vec<Deployed>,
    pub(crate) fired: BTreeSet<Firing>,
    /// Those that the guard put on record, since nobody else had.
    pub(crate) found_missing: BTreeSet<Firing>,
    /// Firings that should reach the planner, their times, and how long after it they may.
    pub(crate) expected: Vec<(Firing, u64, u64)>,
    pub(crate) queues: Vec<Queue>,
    /// Every run that was ever asked for.
    pub(crate) requested: BTreeMap<String, Order>,
    pub(crate) finished: BTreeMap<String, Vec<RunFinished>>,
    /// When the guard said how many are missing, if any.
    pub(crate) missing: Vec<(u64, u64)>,
    /// (instance, execution id) of every pre-script that began, with the run it was for.
    pub(crate) pre_ran: BTreeMap<(String, String), String>,
    /// And of every post-script that somebody tried to send.
    pub(crate) post_sent: BTreeSet<(String, String)>,
    /// (invocation, run) -> since when CreateSnapshots, or the post-script, is next.
    pub(crate) windows: BTreeMap<(u64, String), Window>,
    /// Until when the invocations that live may live.
    pub(crate) alive: BTreeMap<u64, u64>,
    pub(crate) frozen_ms: Vec<u64>,
    pub(crate) reached: BTreeSet<String>,
    pub(crate) violations: Vec<String>,
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// (invocations, ms) by function.
    pub(crate) billed: BTreeMap<&'static str, (u64, u64)>,
    count: u64,
    log: Option<Vec<String>>,
}

/// Where a driver stands between the pre-script's answer and the post-script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Window {
    /// It knows since then that the instance is held.
    Held(u64),
    /// CreateSnapshots answered then.
    Created(u64),
    /// The post-script is sent.
    Over,
}

/// One SendCommand.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) stage: String,
    pub(crate) execution_id: String,
    /// Whether it is a document of ours, and the volumes that it was told.
    pub(crate) ours: bool,
    pub(crate) volumes: Vec<String>,
    pub(crate) invocations: BTreeMap<String, Invocation>,
}

/// One instance of it.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) state: CommandState,
    /// Nothing may be delivered or go on any more.
    pub(crate) cancelled: bool,
}

/// EC2's own token bucket for CreateSnapshots.
#[derive(Debug)]
pub(crate) struct Ec2Bucket {
    pub(crate) tokens: f64,
    pub(crate) at_ms: u64,
    /// What others in the account take, in calls a second.
    pub(crate) neighbours: f64,
}

impl Ec2Bucket {
    /// Takes a token, if there is one.
    #[expect(clippy::cast_precision_loss, reason = "times of a day")]
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.at_ms) as f64 / 1_000.0;
        self.at_ms = self.at_ms.max(now_ms);
        self.tokens = (self.tokens + elapsed * (5.0 - self.neighbours)).clamp(0.0, 100.0);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

impl World {
    /// A world of this seed; with a transcript if somebody wants to read it.
    #[must_use]
    pub(crate) fn new(exec: Exec, rng: Rng, trouble: Trouble, transcript: bool) -> Arc<Self> {
        let state = State {
            rng,
            trouble,
            hosts: BTreeMap::new(),
            commands: BTreeMap::new(),
            sets: Sets::default(),
            runs_of: BTreeMap::new(),
            armed: BTreeSet::new(),
            tags: BTreeMap::new(),
            ledger: BTreeMap::new(),
            bucket: (Bucket::default(), None),
            ec2: Ec2Bucket { tokens: 100.0, at_ms: 0, neighbours: 0.0 },
            policies: BTreeMap::new(),
            deployed: vec![],
            fired: BTreeSet::new(),
            found_missing: BTreeSet::new(),
            expected: vec![],
            queues: Queue::all(),
            requested: BTreeMap::new(),
            finished: BTreeMap::new(),
            missing: vec![],
            pre_ran: BTreeMap::new(),
            post_sent: BTreeSet::new(),
            windows: BTreeMap::new(),
            alive: BTreeMap::new(),
            frozen_ms: vec![],
            reached: BTreeSet::new(),
            violations: vec![],
            calls: BTreeMap::new(),
            billed: BTreeMap::new(),
            count: 0,
            log: transcript.then(Vec::new),
        };
        Arc::new(Self { exec, state: Mutex::new(state) })
    }

    /// What changes; never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Writes a line of the transcript.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        let now_ms = self.exec.now_ms();
        self.state().say(now_ms, line);
    }

    /// Notes that a promise was broken.
    pub(crate) fn violated(&self, what: String) {
        let now_ms = self.exec.now_ms();
        self.state().violated(now_ms, what);
    }
}

impl State {
    /// A number that nobody had before.
    pub(crate) fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Something that can happen has happened.
    pub(crate) fn reach(&mut self, what: &str) {
        let what = what.trim_end();
        if !self.reached.contains(what) {
            self.reached.insert(what.to_owned());
        }
    }

    /// Writes a line of the transcript.
    pub(crate) fn say(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let ms = now_ms.saturating_sub(crate::BEGINNING_MS);
            let (minutes, seconds) = (ms / 60_000, ms % 60_000);
            log.push(format!(
                "{minutes:3}:{:02}.{:03}  {}",
                seconds / 1_000,
                seconds % 1_000,
                line()
            ));
        }
    }

    /// Notes that a promise was broken.
    pub(crate) fn violated(&mut self, now_ms: u64, what: String) {
        self.say(now_ms, || format!("VIOLATED {what}"));
        self.violations.push(what);
    }

    /// The transcript so far.
    #[must_use]
    pub(crate) fn transcript(&self) -> &[String] {
        self.log.as_deref().unwrap_or_default()
    }
}
