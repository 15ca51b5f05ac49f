//! The snapshot side of EC2.

use std::collections::BTreeMap;
use std::sync::Arc;

use stillpoint_drive::outside::{Begun, Fault, FaultKind, Snapshots};
use stillpoint_run::{Order, SnapshotSet, SnapshotTaken};

use super::{Hand, fault};
use crate::sets::Set;
use crate::world::{State, Window};

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
            let found = state.sets.of_run(run_id).find(|set| set.hidden_until_ms <= now_ms);
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
}

/// The answer of a call that made a set.
fn taken(set: u64, volumes: &[String]) -> SnapshotSet {
    let one = |volume: &String| SnapshotTaken {
        snapshot_id: format!("snap-{set}-{volume}"),
        volume_id: volume.clone(),
        app_consistent: None,
    };
    SnapshotSet { snapshots: volumes.iter().map(one).collect(), adopted: false }
}

impl State {
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
        self.sets.add(Set {
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
