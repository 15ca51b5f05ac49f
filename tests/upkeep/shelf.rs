//! An account with snapshots, in virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use stillpoint_upkeep::outside::{
    Clock, Deletion, Discarded, Fault, FaultKind, Label, Policies, Shelf, Snapshot, Which,
};

pub(crate) const HOME: &str = "us-east-1";

/// Everything is behind one lock; calls are counted, and one of them can fail.
#[derive(Debug, Default)]
pub(crate) struct Account(pub(crate) Mutex<State>);

#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) policies: Vec<(String, String)>,
    pub(crate) instances: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) attached: BTreeMap<String, (String, String)>,
    pub(crate) discarded: Vec<Discarded>,
    /// The changes that were made, in order.
    pub(crate) log: Vec<String>,
    /// Which change fails: the effect is there, the answer is not.
    pub(crate) dies_after: Option<usize>,
}

impl Account {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Makes a change, unless the function is dead.
    fn change(&self, what: String, act: impl FnOnce(&mut State)) -> Result<(), Fault> {
        self.with(|state| {
            let dead = state.dies_after.is_some_and(|last| state.log.len() > last);
            if dead {
                return Err(fault());
            }
            act(state);
            state.log.push(what);
            let last = state.dies_after.is_some_and(|last| state.log.len() > last);
            if last { Err(fault()) } else { Ok(()) }
        })
    }
}

fn fault() -> Fault {
    Fault { kind: FaultKind::Unknown, code: "Dead".into(), text: "nobody is there".into() }
}

/// Nothing in here waits for anything.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

impl Clock for Account {
    fn now_ms(&self) -> u64 {
        self.with(|state| state.now_ms)
    }

    async fn sleep_ms(&self, ms: u64) {
        self.with(|state| state.now_ms += ms);
    }
}

impl Policies for Account {
    async fn policies(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(self.with(|state| state.policies.clone()))
    }
}

impl Shelf for Account {
    fn home_region(&self) -> String {
        HOME.into()
    }

    async fn snapshots(&self, region: &str, which: &Which) -> Result<Vec<Snapshot>, Fault> {
        if region != HOME {
            return Ok(vec![]);
        }
        let fits = |one: &Snapshot| match which {
            Which::TagKey(key) => one.tags.contains_key(key),
            Which::Tag(key, value) => one.tags.get(key) == Some(value),
            Which::Ids(ids) => ids.contains(&one.snapshot_id),
        };
        Ok(self.with(|state| state.snapshots.iter().filter(|one| fits(one)).cloned().collect()))
    }

    async fn locks(&self, _region: &str) -> Result<BTreeMap<String, String>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn images(&self, _region: &str) -> Result<BTreeMap<String, String>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn instances(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
        Ok(self.with(|state| state.instances.clone()))
    }

    async fn attachments(
        &self,
        volume_ids: &[String],
    ) -> Result<BTreeMap<String, (String, String)>, Fault> {
        let known = self.with(|state| state.attached.clone());
        Ok(known.into_iter().filter(|(id, _)| volume_ids.contains(id)).collect())
    }
}

impl Label for Account {
    async fn label(
        &self,
        _region: &str,
        resource_ids: &[String],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
        self.change(format!("label {} {}", resource_ids.join(","), keys.join(",")), |state| {
            for one in &mut state.snapshots {
                if resource_ids.contains(&one.snapshot_id) {
                    one.tags.extend(tags.clone());
                }
            }
        })
    }

    async fn unlabel(
        &self,
        _region: &str,
        resource_ids: &[String],
        keys: &[&str],
    ) -> Result<(), Fault> {
        self.change(format!("unlabel {}", resource_ids.join(",")), |state| {
            for one in &mut state.snapshots {
                if resource_ids.contains(&one.snapshot_id) {
                    one.tags.retain(|key, _| !keys.contains(&key.as_str()));
                }
            }
        })
    }
}

impl Deletion for Account {
    async fn delete_snapshot(&self, _region: &str, snapshot_id: &str) -> Result<(), Fault> {
        self.change(format!("delete {snapshot_id}"), |state| {
            state.snapshots.retain(|one| one.snapshot_id != snapshot_id);
        })
    }

    async fn discarded(&self) -> Result<Vec<Discarded>, Fault> {
        Ok(self.with(|state| state.discarded.clone()))
    }

    async fn discard(&self, one: &Discarded) -> Result<(), Fault> {
        self.change(format!("discard {}", one.resource_id), |state| {
            state.discarded.retain(|other| other != one);
        })
    }
}
