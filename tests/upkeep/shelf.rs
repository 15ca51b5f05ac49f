//! An account with snapshots, in virtual time.

mod follow;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Mutex;

use stillpoint_upkeep::outside::{
    Clock, Deletion, Discarded, Fault, Label, Policies, Shelf, Snapshot, Which,
};
use stillpoint_wire::tags;

use crate::trouble::{Trouble, alive, meet};

pub(crate) const HOME: &str = "us-east-1";

/// Everything is behind one lock; calls are counted, and one of them can meet with trouble.
#[derive(Debug, Default)]
pub(crate) struct Account(pub(crate) Mutex<State>);

#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) policies: Vec<(String, String)>,
    pub(crate) instances: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// In the other Region.
    pub(crate) copies: Vec<Snapshot>,
    /// Snapshot and zones.
    pub(crate) fast: BTreeMap<String, BTreeSet<String>>,
    /// Snapshot and accounts.
    pub(crate) shared: BTreeMap<String, BTreeSet<String>>,
    pub(crate) attached: BTreeMap<String, (String, String)>,
    pub(crate) discarded: Vec<Discarded>,
    /// The changes that were made, in order.
    pub(crate) log: Vec<String>,
    /// Every call that was made, in order.
    pub(crate) calls: Vec<String>,
    /// Which call meets with what.
    pub(crate) trouble: Option<(usize, Trouble)>,
    /// Driver and end.
    lease: Option<(String, u64)>,
}

impl State {
    fn shelf(&mut self, region: &str) -> &mut Vec<Snapshot> {
        if region == HOME { &mut self.snapshots } else { &mut self.copies }
    }
}

impl Account {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// A completed set of two volumes, as a run leaves it.
    pub(crate) fn add(&self, schedule: &str, number: u64, started_ms: u64) {
        let set_id = format!("run-{number:04}");
        self.with(|state| {
            for volume in ["vol-a", "vol-b"] {
                let tags = [
                    (tags::RUN_ID, set_id.as_str()),
                    (tags::POLICY_ID, "p1"),
                    (tags::SCHEDULE_NAME, schedule),
                    (tags::INSTANCE_ID, "i-1"),
                    (tags::CONSISTENCY, "application"),
                    (tags::SET_SIZE, "2"),
                ];
                state.snapshots.push(Snapshot {
                    snapshot_id: format!("snap-{number:04}-{volume}"),
                    volume_id: volume.into(),
                    started_ms,
                    state: "completed".into(),
                    tier: "standard".into(),
                    description: format!("stillpoint p1 {set_id}"),
                    tags: tags.map(|(key, value)| (key.into(), value.into())).into(),
                    ..Snapshot::default()
                });
            }
        });
    }

    async fn call<T>(&self, what: &str, act: impl FnOnce(&mut State) -> T) -> Result<T, Fault> {
        let trouble = self.with(|state| {
            let number = state.calls.len();
            state.calls.push(what.to_owned());
            state.trouble.filter(|(at, _)| *at == number).map(|(_, trouble)| trouble)
        });
        meet(trouble, || Ok(self.with(act))).await
    }

    async fn change(&self, what: String, act: impl FnOnce(&mut State)) -> Result<(), Fault> {
        let name = what.split(' ').next().unwrap_or_default().to_owned();
        self.call(&name, |state| {
            act(state);
            state.log.push(what);
        })
        .await
    }
}

/// Nothing in here waits for anything.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    alive(future).expect("it waits")
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
        self.call("policies", |state| state.policies.clone()).await
    }
}

impl Shelf for Account {
    fn home_region(&self) -> String {
        HOME.into()
    }

    async fn snapshots(&self, region: &str, which: &Which) -> Result<Vec<Snapshot>, Fault> {
        let fits = |one: &&Snapshot| match which {
            Which::TagKey(key) => one.tags.contains_key(key),
            Which::Tag(key, value) => one.tags.get(key) == Some(value),
            Which::Ids(ids) => ids.contains(&one.snapshot_id),
        };
        self.call("snapshots", |state| state.shelf(region).iter().filter(fits).cloned().collect())
            .await
    }

    async fn locks(&self, _region: &str) -> Result<BTreeMap<String, String>, Fault> {
        self.call("locks", |_| BTreeMap::new()).await
    }

    async fn images(&self, _region: &str) -> Result<BTreeMap<String, String>, Fault> {
        self.call("images", |_| BTreeMap::new()).await
    }

    async fn instances(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
        self.call("instances", |state| state.instances.clone()).await
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
        region: &str,
        resource_ids: &[String],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
        self.change(format!("label {} {}", resource_ids.join(","), keys.join(",")), |state| {
            for one in state.shelf(region) {
                if resource_ids.contains(&one.snapshot_id) {
                    one.tags.extend(tags.clone());
                }
            }
        })
        .await
    }

    async fn unlabel(
        &self,
        region: &str,
        resource_ids: &[String],
        keys: &[&str],
    ) -> Result<(), Fault> {
        self.change(format!("unlabel {}", resource_ids.join(",")), |state| {
            for one in state.shelf(region) {
                if resource_ids.contains(&one.snapshot_id) {
                    one.tags.retain(|key, _| !keys.contains(&key.as_str()));
                }
            }
        })
        .await
    }
}

impl Deletion for Account {
    async fn delete_snapshot(&self, region: &str, snapshot_id: &str) -> Result<(), Fault> {
        self.change(format!("delete {snapshot_id}"), |state| {
            state.shelf(region).retain(|one| one.snapshot_id != snapshot_id);
        })
        .await
    }

    async fn discarded(&self) -> Result<Vec<Discarded>, Fault> {
        self.call("discarded", |state| state.discarded.clone()).await
    }

    async fn discard(&self, one: &Discarded) -> Result<(), Fault> {
        self.change(format!("discard {}", one.resource_id), |state| {
            state.discarded.retain(|other| other != one);
        })
        .await
    }
}
