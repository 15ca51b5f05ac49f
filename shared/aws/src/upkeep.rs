//! Tags on what exists, and the only calls that delete anything.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Tag};
use stillpoint_drive::outside::Fault;
use stillpoint_upkeep::outside::{Deletion, Discarded, Label};
use stillpoint_wire::tags::DELETE_AFTER;

use crate::Cloud;
use crate::ec2::sdk_tags;
use crate::fault::fault;
use crate::inventory::{EC2_PAGE, tags};

impl Label for Cloud {
    async fn label(
        &self,
        region: &str,
        resource_ids: &[String],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        let request = self.ec2_in(region).create_tags();
        let request = request.set_resources(Some(resource_ids.to_vec()));
        request.set_tags(Some(sdk_tags(tags))).send().await.map(drop).map_err(fault)
    }

    async fn unlabel(
        &self,
        region: &str,
        resource_ids: &[String],
        keys: &[&str],
    ) -> Result<(), Fault> {
        // Without a value a tag goes whatever its value is.
        let tags = keys.iter().map(|key| Tag::builder().key(*key).build()).collect();
        let request = self.ec2_in(region).delete_tags();
        let request = request.set_resources(Some(resource_ids.to_vec()));
        request.set_tags(Some(tags)).send().await.map(drop).map_err(fault)
    }
}

impl Deletion for Cloud {
    async fn delete_snapshot(&self, region: &str, snapshot_id: &str) -> Result<(), Fault> {
        let request = self.ec2_in(region).delete_snapshot().snapshot_id(snapshot_id);
        gone_is_done(request.send().await.map(drop).map_err(fault))
    }

    async fn discarded(&self) -> Result<Vec<Discarded>, Fault> {
        let marked = || Filter::builder().name("tag-key").values(DELETE_AFTER).build();
        let mut found = vec![];
        let request = self.ec2.describe_instances().filters(marked());
        let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            for one in page.reservations().iter().flat_map(|one| one.instances()) {
                let state = one.state().and_then(|state| state.name());
                let gone = state
                    .is_some_and(|name| matches!(name.as_str(), "terminated" | "shutting-down"));
                if let Some(id) = one.instance_id().filter(|_| !gone) {
                    let tags = tags(one.tags());
                    found.push(Discarded { resource_id: id.to_owned(), in_use: false, tags });
                }
            }
        }
        let request = self.ec2.describe_volumes().filters(marked());
        let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            for one in page.volumes() {
                let in_use = one.state().is_none_or(|state| state.as_str() != "available");
                if let Some(id) = one.volume_id() {
                    let tags = tags(one.tags());
                    found.push(Discarded { resource_id: id.to_owned(), in_use, tags });
                }
            }
        }
        Ok(found)
    }

    async fn discard(&self, one: &Discarded) -> Result<(), Fault> {
        let id = &one.resource_id;
        gone_is_done(if id.starts_with("i-") {
            let request = self.ec2.terminate_instances().instance_ids(id);
            request.send().await.map(drop).map_err(fault)
        } else {
            let request = self.ec2.delete_volume().volume_id(id);
            request.send().await.map(drop).map_err(fault)
        })
    }
}

/// Asked again, or somebody was faster.
fn gone_is_done(result: Result<(), Fault>) -> Result<(), Fault> {
    match result {
        Err(fault) if fault.code.ends_with(".NotFound") => Ok(()),
        other => other,
    }
}
