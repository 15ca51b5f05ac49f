//! EC2: the sets that were made, and their tags.

use std::collections::BTreeMap;

use stillpoint_drive::outside::{Begun, Fault, Snapshots};
use stillpoint_run::{Order, SnapshotSet, SnapshotTaken};

use super::World;

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
