//! CreateSnapshots, the search for a set by its tag, and tags.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    CopyTagsFromSource, Filter, InstanceSpecification, ResourceType, Tag, TagSpecification,
};
use stillpoint_drive::outside::{Fault, Snapshots};
use stillpoint_run::{Order, SnapshotSet, SnapshotTaken};
use stillpoint_wire::tags::RUN_ID;

use crate::Cloud;
use crate::fault::{fault, incomplete};

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
            .description(format!("stillpoint {} {}", order.policy_id, order.run_id))
            .set_copy_tags_from_source(order.copy_tags.then_some(CopyTagsFromSource::Volume))
            .tag_specifications(tags)
            .send()
            .await
            .map_err(fault)?;
        let snapshots: Vec<_> = answer
            .snapshots()
            .iter()
            .filter_map(|info| taken(info.snapshot_id(), info.volume_id()))
            .collect();
        if snapshots.is_empty() || snapshots.len() != answer.snapshots().len() {
            return Err(incomplete("snapshot and volume id for each snapshot"));
        }
        Ok(SnapshotSet { snapshots, adopted: false })
    }

    async fn find(&self, run_id: &str) -> Result<Option<SnapshotSet>, Fault> {
        let filter = Filter::builder().name(format!("tag:{RUN_ID}")).values(run_id).build();
        let mut pages = self
            .ec2
            .describe_snapshots()
            .owner_ids("self")
            .filters(filter)
            .into_paginator()
            .page_size(200)
            .send();
        let mut snapshots = vec![];
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            snapshots.extend(
                page.snapshots().iter().filter_map(|one| taken(one.snapshot_id(), one.volume_id())),
            );
        }
        Ok((!snapshots.is_empty()).then_some(SnapshotSet { snapshots, adopted: true }))
    }

    async fn tag(&self, resource_id: &str, tags: &BTreeMap<String, String>) -> Result<(), Fault> {
        if tags.is_empty() {
            return Ok(());
        }
        let request = self.ec2.create_tags().resources(resource_id).set_tags(Some(sdk_tags(tags)));
        request.send().await.map(drop).map_err(fault)
    }
}

fn taken(snapshot_id: Option<&str>, volume_id: Option<&str>) -> Option<SnapshotTaken> {
    Some(SnapshotTaken { snapshot_id: snapshot_id?.to_owned(), volume_id: volume_id?.to_owned() })
}

fn sdk_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
