//! What the planner reads: instances, their EBS volumes, and what Systems Manager
//! knows of them. Everything is paged; nothing is decided.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance, Tag as Ec2Tag, VolumeAttachmentState};
use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter, PingStatus};
use stillpoint_drive::outside::Fault;
use stillpoint_policy::{Attached, Components, Instance, Inventory, Managed, Platform, Tag};

use crate::Cloud;
use crate::fault::{fault, unbuildable};

/// EC2 takes 200 values in one filter.
pub(crate) const FILTER_VALUES_MAX: usize = 200;
/// DescribeInstanceInformation answers at most 50 at a time.
const SSM_PAGE: usize = 50;
pub(crate) const EC2_PAGE: i32 = 500;
/// Of instances that still are.
const STATES: [&str; 4] = ["pending", "running", "stopping", "stopped"];

impl Cloud {
    /// Reads the instances that carry any of the tags or have one of the ids. The tag
    /// filter is EC2's, which knows wildcards: the plan checks again to the letter. With neither
    /// it is all instances, and since when each has a backup, as a default policy needs it.
    ///
    /// # Errors
    /// Any of the reads; nothing is changed by them.
    pub(crate) async fn read_inventory(
        &self,
        targets: &[Tag],
        instance_ids: Option<&[String]>,
    ) -> Result<Inventory, Fault> {
        let found = match instance_ids {
            Some(ids) => self.instances_by("instance-id", ids).await?,
            None if targets.is_empty() => {
                let states = STATES.map(str::to_owned);
                self.instances_by("instance-state-name", &states).await?
            }
            None => self.instances_by_tags(targets).await?,
        };
        let ids: Vec<String> = found.keys().cloned().collect();
        let managed = self.managed(&ids).await?;
        let volume_ids: BTreeSet<String> = found.values().flat_map(volume_ids).collect();
        let volumes = self.volumes(volume_ids.into_iter().collect()).await?;
        let mut instances: Vec<Instance> = found
            .into_iter()
            .map(|(id, instance)| {
                let managed = managed.get(&id).cloned().unwrap_or(Managed::NotManaged);
                describe(id, &instance, &volumes, managed)
            })
            .collect();
        if targets.is_empty() && instance_ids.is_none() {
            self.see_backups(&mut instances).await?;
        }
        Ok(Inventory { instances })
    }

    async fn instances_by_tags(
        &self,
        targets: &[Tag],
    ) -> Result<BTreeMap<String, Ec2Instance>, Fault> {
        let mut by_key: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for tag in targets {
            by_key.entry(&tag.key).or_default().push(tag.value.clone());
        }
        // Filters of one request are joined by AND; target tags are joined by OR.
        let mut found = BTreeMap::new();
        for (key, values) in by_key {
            found.extend(self.instances_by(&format!("tag:{key}"), &values).await?);
        }
        Ok(found)
    }

    async fn instances_by(
        &self,
        name: &str,
        values: &[String],
    ) -> Result<BTreeMap<String, Ec2Instance>, Fault> {
        let mut found = BTreeMap::new();
        for values in values.chunks(FILTER_VALUES_MAX) {
            let filter = Filter::builder().name(name).set_values(Some(values.to_vec())).build();
            let request = self.ec2.describe_instances().filters(filter);
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for instance in page.reservations().iter().flat_map(|one| one.instances()) {
                    if let Some(id) = instance.instance_id() {
                        found.insert(id.to_owned(), instance.clone());
                    }
                }
            }
        }
        Ok(found)
    }

    async fn managed(&self, ids: &[String]) -> Result<BTreeMap<String, Managed>, Fault> {
        let mut managed = BTreeMap::new();
        for ids in ids.chunks(SSM_PAGE) {
            let filter = InstanceInformationStringFilter::builder()
                .key("InstanceIds")
                .set_values(Some(ids.to_vec()))
                .build()
                .map_err(unbuildable)?;
            let request = self.ssm.describe_instance_information().filters(filter);
            let mut pages = request.into_paginator().page_size(50).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for information in page.instance_information_list() {
                    if let Some(id) = information.instance_id() {
                        managed.insert(id.to_owned(), managed_state(information));
                    }
                }
            }
        }
        Ok(managed)
    }

    async fn volumes(&self, ids: Vec<String>) -> Result<BTreeMap<String, VolumeFacts>, Fault> {
        let mut volumes = BTreeMap::new();
        for ids in ids.chunks(FILTER_VALUES_MAX) {
            let filter = Filter::builder().name("volume-id").set_values(Some(ids.to_vec())).build();
            let request = self.ec2.describe_volumes().filters(filter);
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for volume in page.volumes() {
                    if let Some(id) = volume.volume_id() {
                        let size_gib = u32::try_from(volume.size().unwrap_or(0)).unwrap_or(0);
                        let facts = VolumeFacts { size_gib, tags: tags(volume.tags()) };
                        volumes.insert(id.to_owned(), facts);
                    }
                }
            }
        }
        Ok(volumes)
    }
}

struct VolumeFacts {
    size_gib: u32,
    tags: BTreeMap<String, String>,
}

fn managed_state(information: &InstanceInformation) -> Managed {
    match information.ping_status() {
        Some(PingStatus::Online) => Managed::Online {
            agent_version: information.agent_version().unwrap_or_default().to_owned(),
        },
        other => {
            Managed::Lost { ping_status: other.map_or("unknown", PingStatus::as_str).to_owned() }
        }
    }
}

fn volume_ids(instance: &Ec2Instance) -> Vec<String> {
    let ebs = instance.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    ebs.filter_map(|ebs| ebs.volume_id()).map(str::to_owned).collect()
}

fn describe(
    id: String,
    instance: &Ec2Instance,
    volumes: &BTreeMap<String, VolumeFacts>,
    managed: Managed,
) -> Instance {
    let attached = instance.block_device_mappings().iter().filter_map(|mapping| {
        let ebs = mapping.ebs()?;
        let volume_id = ebs.volume_id()?.to_owned();
        // A volume that is leaving is not part of CreateSnapshots' instance any more.
        let leaving = matches!(
            ebs.status().map(|status| status.as_str()),
            Some(status) if status == VolumeAttachmentState::Detached.as_str()
        );
        let facts = volumes.get(&volume_id);
        (!leaving).then(|| Attached {
            device: mapping.device_name().unwrap_or_default().to_owned(),
            size_gib: facts.map_or(0, |facts| facts.size_gib),
            tags: facts.map(|facts| facts.tags.clone()).unwrap_or_default(),
            volume_id,
        })
    });
    let state = instance.state().and_then(|state| state.name());
    Instance {
        id,
        state: state.map_or("unknown", |name| name.as_str()).to_owned(),
        platform: match instance.platform() {
            Some(_) => Platform::Windows,
            None => Platform::Linux,
        },
        instance_type: instance
            .instance_type()
            .map(|one| one.as_str().to_owned())
            .unwrap_or_default(),
        tags: tags(instance.tags()),
        root_device: instance.root_device_name().unwrap_or_default().to_owned(),
        volumes: attached.collect(),
        managed,
        vss_components: Components::Unknown,
        launched_ms: instance
            .launch_time()
            .and_then(|time| time.to_millis().ok())
            .and_then(|ms| u64::try_from(ms).ok()),
        backed_up_ms: None,
    }
}

pub(crate) fn tags(tags: &[Ec2Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}
