//! What retention and restores read of EC2: everything paged, nothing decided.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Snapshot as Ec2Snapshot};
use stillpoint_drive::outside::Fault;
use stillpoint_upkeep::outside::{Policies, Shelf, Snapshot, Which};

use crate::Cloud;
use crate::fault::fault;
use crate::inventory::{EC2_PAGE, FILTER_VALUES_MAX, tags};

impl Policies for Cloud {
    async fn policies(&self) -> Result<Vec<(String, String)>, Fault> {
        let prefix = &self.names.policy_prefix;
        let request = self.ssm.get_parameters_by_path().path(prefix).with_decryption(true);
        let mut pages = request.into_paginator().send();
        let mut policies = vec![];
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            policies.extend(page.parameters().iter().filter_map(|one| {
                let id = one.name()?.strip_prefix(prefix.as_str())?;
                Some((id.to_owned(), one.value()?.to_owned()))
            }));
        }
        Ok(policies)
    }
}

impl Shelf for Cloud {
    fn home_region(&self) -> String {
        self.config.region().map(ToString::to_string).unwrap_or_default()
    }

    async fn snapshots(&self, region: &str, which: &Which) -> Result<Vec<Snapshot>, Fault> {
        let filters: Vec<Filter> = match which {
            Which::TagKey(key) => vec![Filter::builder().name("tag-key").values(key).build()],
            Which::Tag(key, value) => {
                vec![Filter::builder().name(format!("tag:{key}")).values(value).build()]
            }
            Which::Ids(ids) if ids.is_empty() => return Ok(vec![]),
            Which::Ids(ids) => ids
                .chunks(FILTER_VALUES_MAX)
                .map(|ids| {
                    Filter::builder().name("snapshot-id").set_values(Some(ids.to_vec())).build()
                })
                .collect(),
        };
        let mut found = vec![];
        for filter in filters {
            let request =
                self.ec2_in(region).describe_snapshots().owner_ids("self").filters(filter);
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                found.extend(page.snapshots().iter().filter_map(snapshot));
            }
        }
        Ok(found)
    }

    async fn locks(&self, region: &str) -> Result<BTreeMap<String, String>, Fault> {
        let mut locks = BTreeMap::new();
        let mut token = None;
        loop {
            let request = self.ec2_in(region).describe_locked_snapshots().set_next_token(token);
            let page = request.send().await.map_err(fault)?;
            for one in page.snapshots() {
                let state = one.lock_state().map_or("", |state| state.as_str());
                if let Some(id) = one.snapshot_id().filter(|_| state != "expired") {
                    locks.insert(id.to_owned(), state.to_owned());
                }
            }
            token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(locks);
            }
        }
    }

    async fn images(&self, region: &str) -> Result<BTreeMap<String, String>, Fault> {
        let request = self.ec2_in(region).describe_images().owners("self");
        // An image that is disabled or deprecated needs its snapshots as any other.
        let request = request.include_deprecated(true).include_disabled(true);
        let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
        let mut images = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            for image in page.images() {
                let snapshots = image.block_device_mappings().iter();
                for id in snapshots.filter_map(|one| one.ebs()?.snapshot_id()) {
                    images.insert(id.to_owned(), image.image_id().unwrap_or_default().to_owned());
                }
            }
        }
        Ok(images)
    }

    async fn instances(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
        let mut pages = self.ec2.describe_instances().into_paginator().page_size(EC2_PAGE).send();
        let mut instances = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            for instance in page.reservations().iter().flat_map(|one| one.instances()) {
                let state = instance.state().and_then(|state| state.name());
                let state = state.map_or("", |name| name.as_str());
                let gone = matches!(state, "terminated" | "shutting-down");
                if let Some(id) = instance.instance_id().filter(|_| !gone) {
                    instances.insert(id.to_owned(), tags(instance.tags()));
                }
            }
        }
        Ok(instances)
    }

    async fn attachments(
        &self,
        volume_ids: &[String],
    ) -> Result<BTreeMap<String, (String, String)>, Fault> {
        let mut attached = BTreeMap::new();
        for ids in volume_ids.chunks(FILTER_VALUES_MAX) {
            let filter = Filter::builder().name("volume-id").set_values(Some(ids.to_vec())).build();
            let request = self.ec2.describe_volumes().filters(filter);
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for one in page.volumes().iter().flat_map(|volume| volume.attachments()) {
                    if let (Some(volume), Some(instance)) = (one.volume_id(), one.instance_id()) {
                        let device = one.device().unwrap_or_default().to_owned();
                        attached.insert(volume.to_owned(), (instance.to_owned(), device));
                    }
                }
            }
        }
        Ok(attached)
    }
}

fn snapshot(one: &Ec2Snapshot) -> Option<Snapshot> {
    let started = one.start_time().and_then(|time| time.to_millis().ok());
    Some(Snapshot {
        snapshot_id: one.snapshot_id()?.to_owned(),
        volume_id: one.volume_id().unwrap_or_default().to_owned(),
        started_ms: started.and_then(|ms| u64::try_from(ms).ok())?,
        state: one.state().map_or("", |state| state.as_str()).to_owned(),
        tier: one.storage_tier().map_or("standard", |tier| tier.as_str()).to_owned(),
        description: one.description().unwrap_or_default().to_owned(),
        encrypted: one.encrypted().unwrap_or(false),
        size_gib: u32::try_from(one.volume_size().unwrap_or(0)).unwrap_or(0),
        tags: tags(one.tags()),
    })
}
