//! Copies, fast restore and sharing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_ec2::types::{
    FastSnapshotRestoreStateCode, OperationType, ResourceType, SnapshotAttributeName,
    TagSpecification,
};
use stillpoint_drive::outside::{Fault, FaultKind};
use stillpoint_upkeep::lifecycle::decide::Copy;
use stillpoint_upkeep::outside::Follow;

use crate::Cloud;
use crate::ec2::sdk_tags;
use crate::fault::{fault, incomplete};

impl Follow for Cloud {
    async fn take_lease(
        &self,
        name: &str,
        driver: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<bool, Fault> {
        let number = |value: u64| AttributeValue::N(value.to_string());
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.jobs_table)
            .item("jobId", AttributeValue::S(name.to_owned()))
            .item("driver", AttributeValue::S(driver.to_owned()))
            .item("leaseUntilMs", number(until_ms))
            .item("over", AttributeValue::Bool(true))
            .condition_expression("attribute_not_exists(jobId) OR leaseUntilMs <= :now")
            .expression_attribute_values(":now", number(now_ms));
        match request.send().await.map_err(fault) {
            Ok(_) => Ok(true),
            Err(fault) if fault.code == "ConditionalCheckFailedException" => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    async fn give_lease(&self, name: &str, driver: &str) -> Result<(), Fault> {
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.jobs_table)
            .item("jobId", AttributeValue::S(name.to_owned()))
            .item("driver", AttributeValue::S(driver.to_owned()))
            .item("leaseUntilMs", AttributeValue::N("0".to_owned()))
            .item("over", AttributeValue::Bool(true))
            .condition_expression("driver = :driver")
            .expression_attribute_values(":driver", AttributeValue::S(driver.to_owned()));
        request.send().await.map(drop).map_err(fault)
    }

    async fn fast_restores(&self) -> Result<BTreeMap<String, BTreeSet<String>>, Fault> {
        let mut pages = self.ec2.describe_fast_snapshot_restores().into_paginator().send();
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            for one in page.fast_snapshot_restores() {
                let off = matches!(
                    one.state(),
                    Some(
                        FastSnapshotRestoreStateCode::Disabled
                            | FastSnapshotRestoreStateCode::Disabling
                    )
                );
                if let Some(id) = one.snapshot_id().filter(|_| !off) {
                    let zones = found.entry(id.to_owned()).or_default();
                    zones.extend(one.availability_zone().map(str::to_owned));
                    zones.extend(one.availability_zone_id().map(str::to_owned));
                }
            }
        }
        Ok(found)
    }

    async fn copy_snapshot(&self, from_region: &str, copy: &Copy) -> Result<String, Fault> {
        let specification = TagSpecification::builder()
            .resource_type(ResourceType::Snapshot)
            .set_tags(Some(sdk_tags(&copy.tags)))
            .build();
        let region = &copy.region;
        let request = self.ec2_once_in(region).copy_snapshot();
        let request = request
            .source_region(from_region)
            .source_snapshot_id(&copy.snapshot_id)
            .description(&copy.description)
            .encrypted(copy.encrypted)
            .set_kms_key_id(copy.kms_key_id.clone())
            .tag_specifications(specification);
        let answer = request.send().await.map_err(fault)?;
        answer.snapshot_id().map(str::to_owned).ok_or_else(|| incomplete("snapshot id"))
    }

    async fn enable_fast_restore(&self, snapshot_id: &str, zones: &[String]) -> Result<(), Fault> {
        let (names, ids) = split(zones);
        let request = self.ec2.enable_fast_snapshot_restores().source_snapshot_ids(snapshot_id);
        let request = request.set_availability_zones(names).set_availability_zone_ids(ids);
        let answer = request.send().await.map_err(fault)?;
        match answer.unsuccessful().first() {
            None => Ok(()),
            Some(item) => {
                Err(not_done(item.fast_snapshot_restore_state_errors().iter().map(|one| {
                    let error = one.error();
                    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
                    (
                        text(error.and_then(|one| one.code())),
                        text(error.and_then(|one| one.message())),
                    )
                })))
            }
        }
    }

    async fn disable_fast_restore(&self, snapshot_id: &str, zones: &[String]) -> Result<(), Fault> {
        let (names, ids) = split(zones);
        let request = self.ec2.disable_fast_snapshot_restores().source_snapshot_ids(snapshot_id);
        let request = request.set_availability_zones(names).set_availability_zone_ids(ids);
        let answer = request.send().await.map_err(fault)?;
        match answer.unsuccessful().first() {
            None => Ok(()),
            Some(item) => {
                Err(not_done(item.fast_snapshot_restore_state_errors().iter().map(|one| {
                    let error = one.error();
                    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
                    (
                        text(error.and_then(|one| one.code())),
                        text(error.and_then(|one| one.message())),
                    )
                })))
            }
        }
    }

    async fn share(&self, snapshot_id: &str, accounts: &[String]) -> Result<(), Fault> {
        let request = self.ec2.modify_snapshot_attribute().snapshot_id(snapshot_id);
        let request = request
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .operation_type(OperationType::Add)
            .set_user_ids(Some(accounts.to_vec()));
        request.send().await.map(drop).map_err(fault)
    }

    async fn unshare(&self, snapshot_id: &str, accounts: &[String]) -> Result<(), Fault> {
        let request = self.ec2.modify_snapshot_attribute().snapshot_id(snapshot_id);
        let request = request
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .operation_type(OperationType::Remove)
            .set_user_ids(Some(accounts.to_vec()));
        request.send().await.map(drop).map_err(fault)
    }
}

type Zones = Option<Vec<String>>;

/// Names end in a letter, `us-east-1a`, ids in a number, `use1-az1`. A rule has one kind of them.
fn split(zones: &[String]) -> (Zones, Zones) {
    let is_id = |zone: &String| zone.contains("-az");
    let (ids, names): (Vec<String>, Vec<String>) = zones.iter().cloned().partition(is_id);
    (Some(names).filter(|all| !all.is_empty()), Some(ids).filter(|all| !all.is_empty()))
}

fn not_done(errors: impl Iterator<Item = (String, String)>) -> Fault {
    let first = errors.into_iter().next().unwrap_or_default();
    Fault { kind: FaultKind::Refused, code: first.0, text: first.1 }
}
