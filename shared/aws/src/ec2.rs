//! CreateSnapshots, the search for a set by its tag, and tags.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    CopyTagsFromSource, Filter, InstanceSpecification, ResourceType, Snapshot, Tag,
    TagSpecification,
};
use stillpoint_drive::outside::{Begun, Fault, Snapshots};
use stillpoint_run::{Order, SnapshotSet, SnapshotTaken};
use stillpoint_wire::tags::RUN_ID;
use stillpoint_wire::vss;

use crate::Cloud;
use crate::fault::{fault, incomplete};

/// EC2 takes 200 values in one filter.
const FILTER_VALUES_MAX: usize = 200;

impl Snapshots for Cloud {
    async fn create(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
    ) -> Result<SnapshotSet, Fault> {
        let instance = InstanceSpecification::builder()
            .instance_id(&order.instance_id)
            .exclude_boot_volume(order.exclude_boot_volume)
            .set_exclude_data_volume_ids(
                Some(order.exclude_data_volume_ids.clone()).filter(|ids| !ids.is_empty()),
            )
            .build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Snapshot)
            .set_tags(Some(sdk_tags(tags)))
            .build();
        let answer = self
            .ec2_once
            .create_snapshots()
            .instance_specification(instance)
            .description(vss::description(order))
            .set_copy_tags_from_source(order.copy_tags.then_some(CopyTagsFromSource::Volume))
            .tag_specifications(tags)
            .send()
            .await
            .map_err(fault)?;
        let snapshots: Vec<_> = answer
            .snapshots()
            .iter()
            .filter_map(|info| taken(info.snapshot_id(), info.volume_id(), &[]))
            .collect();
        if snapshots.is_empty() || snapshots.len() != answer.snapshots().len() {
            return Err(incomplete("snapshot and volume id for each snapshot"));
        }
        Ok(SnapshotSet { snapshots, adopted: false })
    }

    async fn find(&self, run_id: &str) -> Result<Option<SnapshotSet>, Fault> {
        let filter = Filter::builder().name(format!("tag:{RUN_ID}")).values(run_id).build();
        let found = self.snapshots(filter).await?;
        let of = |one: &Snapshot| taken(one.snapshot_id(), one.volume_id(), one.tags());
        let snapshots: Vec<_> = found.iter().filter_map(of).collect();
        Ok((!snapshots.is_empty()).then_some(SnapshotSet { snapshots, adopted: true }))
    }

    async fn begun_since(&self, volume_ids: &[String], since_ms: u64) -> Result<Vec<Begun>, Fault> {
        let mut begun = vec![];
        for ids in volume_ids.chunks(FILTER_VALUES_MAX) {
            let filter = Filter::builder().name("volume-id").set_values(Some(ids.to_vec())).build();
            let found = self.snapshots(filter).await?;
            begun.extend(found.iter().filter_map(of_volume).filter(|one| one.at_ms >= since_ms));
        }
        Ok(begun)
    }

    async fn tag(&self, resource_id: &str, tags: &BTreeMap<String, String>) -> Result<(), Fault> {
        if tags.is_empty() {
            return Ok(());
        }
        let request = self.ec2.create_tags().resources(resource_id).set_tags(Some(sdk_tags(tags)));
        request.send().await.map(drop).map_err(fault)
    }
}

impl Cloud {
    async fn snapshots(&self, filter: Filter) -> Result<Vec<Snapshot>, Fault> {
        let request = self.ec2.describe_snapshots().owner_ids("self").filters(filter);
        let mut pages = request.into_paginator().page_size(200).send();
        let mut snapshots = vec![];
        while let Some(page) = pages.next().await {
            snapshots.extend(page.map_err(fault)?.snapshots.unwrap_or_default());
        }
        Ok(snapshots)
    }
}

fn taken(
    snapshot_id: Option<&str>,
    volume_id: Option<&str>,
    tags: &[Tag],
) -> Option<SnapshotTaken> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let tags = tags.iter().map(|tag| (text(tag.key()), text(tag.value()))).collect();
    Some(SnapshotTaken {
        snapshot_id: snapshot_id?.to_owned(),
        volume_id: volume_id?.to_owned(),
        app_consistent: vss::app_consistent(&tags),
    })
}

fn of_volume(snapshot: &Snapshot) -> Option<Begun> {
    let at_ms = snapshot.start_time().and_then(|time| time.to_millis().ok())?;
    Some(Begun {
        taken: taken(snapshot.snapshot_id(), snapshot.volume_id(), snapshot.tags())?,
        at_ms: u64::try_from(at_ms).unwrap_or(0),
        description: snapshot.description().unwrap_or_default().to_owned(),
        tagged: !snapshot.tags().is_empty(),
    })
}

pub(crate) fn sdk_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
