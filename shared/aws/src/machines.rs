//! Instances and volumes for restores and drills. What can take a token takes one, so that a call
//! whose answer was lost can be made again.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    Filter, Instance as Ec2Instance, InstanceType, ResourceType, TagSpecification, VolumeType,
};
use stillpoint_drive::outside::Fault;
use stillpoint_restore::{InstanceSeen, Item, Job, Launch, Source, VolumeSeen};
use stillpoint_upkeep::jobs::outside::{InstanceFacts, Machines};

use crate::Cloud;
use crate::ec2::sdk_tags;
use crate::fault::{fault, incomplete};
use crate::inventory::{EC2_PAGE, FILTER_VALUES_MAX};

/// EC2's tokens have at most 64 characters.
const TOKEN_CHARS_MAX: usize = 64;

impl Machines for Cloud {
    async fn instance_seen(&self, instance_id: &str) -> Result<Option<InstanceFacts>, Fault> {
        // A filter, since an id that EC2 does not know is an error as a parameter.
        let filter = Filter::builder().name("instance-id").values(instance_id).build();
        let answer = self.ec2.describe_instances().filters(filter).send().await.map_err(fault)?;
        let mut instances = answer.reservations().iter().flat_map(|one| one.instances());
        Ok(instances.next().map(facts))
    }

    async fn volumes_seen(
        &self,
        volume_ids: &[String],
    ) -> Result<BTreeMap<String, VolumeSeen>, Fault> {
        let mut found = BTreeMap::new();
        for ids in volume_ids.chunks(FILTER_VALUES_MAX) {
            let filter = Filter::builder().name("volume-id").set_values(Some(ids.to_vec())).build();
            let request = self.ec2.describe_volumes().filters(filter);
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for volume in page.volumes() {
                    let Some(id) = volume.volume_id() else { continue };
                    let at = volume
                        .attachments()
                        .iter()
                        .find(|one| one.state().is_none_or(|state| state.as_str() != "detached"));
                    let state = at.and_then(|one| one.state());
                    found.insert(
                        id.to_owned(),
                        VolumeSeen {
                            state: volume.state().map_or("", |one| one.as_str()).to_owned(),
                            instance_id: at.and_then(|one| one.instance_id()).map(str::to_owned),
                            attachment: state.map_or("", |one| one.as_str()).to_owned(),
                        },
                    );
                }
            }
        }
        Ok(found)
    }

    async fn launch_instance(
        &self,
        job: &Job,
        launch: &Launch,
        tags: &BTreeMap<String, String>,
    ) -> Result<String, Fault> {
        let mut named = tags.clone();
        named.insert("Name".to_owned(), launch.name.clone());
        let specification = |kind, tags: &BTreeMap<String, String>| {
            TagSpecification::builder().resource_type(kind).set_tags(Some(sdk_tags(tags))).build()
        };
        let groups = Some(launch.security_group_ids.clone()).filter(|groups| !groups.is_empty());
        let request = self
            .ec2
            .run_instances()
            .client_token(token(&job.order.id))
            .image_id(&launch.image_id)
            .instance_type(InstanceType::from(launch.instance_type.as_str()))
            .set_subnet_id(launch.subnet_id.clone())
            .set_security_group_ids(groups)
            .set_key_name(launch.key_name.clone())
            .min_count(1)
            .max_count(1)
            .tag_specifications(specification(ResourceType::Instance, &named))
            .tag_specifications(specification(ResourceType::Volume, tags));
        let answer = request.send().await.map_err(fault)?;
        let id = answer.instances().first().and_then(|one| one.instance_id());
        id.map(str::to_owned).ok_or_else(|| incomplete("instance id"))
    }

    async fn create_volume(
        &self,
        job: &Job,
        item: &Item,
        tags: &BTreeMap<String, String>,
    ) -> Result<String, Fault> {
        let Source::Snapshot(snapshot_id) = &item.source else {
            return Err(incomplete("snapshot to make a volume of"));
        };
        let options = &job.order.volumes;
        let whole = |number: Option<u32>| number.and_then(|number| i32::try_from(number).ok());
        let specification = TagSpecification::builder()
            .resource_type(ResourceType::Volume)
            .set_tags(Some(sdk_tags(tags)))
            .build();
        let request = self
            .ec2
            .create_volume()
            .client_token(token(&format!("{}{}", job.order.id, item.device)))
            .snapshot_id(snapshot_id)
            .availability_zone(&job.zone)
            .set_volume_type(options.volume_type.as_deref().map(VolumeType::from))
            .set_iops(whole(options.iops))
            .set_throughput(whole(options.throughput))
            .set_encrypted(options.encrypted)
            .set_kms_key_id(options.kms_key_id.clone())
            .tag_specifications(specification);
        let answer = request.send().await.map_err(fault)?;
        answer.volume_id().map(str::to_owned).ok_or_else(|| incomplete("volume id"))
    }

    async fn stop_instance(&self, instance_id: &str) -> Result<(), Fault> {
        let request = self.ec2.stop_instances().instance_ids(instance_id);
        request.send().await.map(drop).map_err(fault)
    }

    async fn start_instance(&self, instance_id: &str) -> Result<(), Fault> {
        let request = self.ec2.start_instances().instance_ids(instance_id);
        request.send().await.map(drop).map_err(fault)
    }

    async fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), Fault> {
        let request = self.ec2.attach_volume().volume_id(volume_id).instance_id(instance_id);
        request.device(device).send().await.map(drop).map_err(fault)
    }

    async fn detach_volume(&self, volume_id: &str) -> Result<(), Fault> {
        let request = self.ec2.detach_volume().volume_id(volume_id);
        request.send().await.map(drop).map_err(fault)
    }
}

fn token(text: &str) -> String {
    let plain = text.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-');
    plain.take(TOKEN_CHARS_MAX).collect()
}

fn facts(instance: &Ec2Instance) -> InstanceFacts {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let attached = instance.block_device_mappings().iter().filter_map(|mapping| {
        let volume_id = mapping.ebs()?.volume_id()?;
        Some((mapping.device_name()?.to_owned(), volume_id.to_owned()))
    });
    let groups = instance.security_groups().iter().filter_map(|group| group.group_id());
    InstanceFacts {
        seen: InstanceSeen {
            instance_id: text(instance.instance_id()),
            state: instance
                .state()
                .and_then(|state| state.name())
                .map_or("unknown", |name| name.as_str())
                .to_owned(),
            zone: text(instance.placement().and_then(|place| place.availability_zone())),
            root_device: text(instance.root_device_name()),
            attached: attached.collect(),
        },
        launch: Launch {
            image_id: text(instance.image_id()),
            instance_type: instance.instance_type().map_or("", |kind| kind.as_str()).to_owned(),
            subnet_id: instance.subnet_id().map(str::to_owned),
            security_group_ids: groups.map(str::to_owned).collect(),
            key_name: instance.key_name().map(str::to_owned),
            name: String::new(),
        },
    }
}
