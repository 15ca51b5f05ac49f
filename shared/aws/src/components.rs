//! What Systems Manager's inventory knows of the software that VSS snapshots need.

use std::collections::BTreeMap;

use aws_sdk_ssm::types::{InventoryFilter, InventoryQueryOperatorType, ResultAttribute};
use stillpoint_drive::outside::Fault;
use stillpoint_policy::{Components, Inventory, Platform};

use crate::Cloud;
use crate::fault::{fault, unbuildable};

/// The inventory type that AWS's own packages are in.
const TYPE: &str = "AWS:AWSComponent";
const NAME: &str = "AwsVssComponents";
const INSTANCE_ID: &str = "AWS:InstanceInformation.InstanceId";
/// GetInventory takes 40 values in one filter.
const FILTER_VALUES_MAX: usize = 40;

impl Cloud {
    /// Fills in the VSS components of the Windows instances. Instances that nobody collects an
    /// inventory of stay unknown.
    ///
    /// # Errors
    /// Any of the reads; nothing is changed by them.
    pub(crate) async fn read_vss_components(&self, inventory: &mut Inventory) -> Result<(), Fault> {
        let windows = inventory.instances.iter_mut();
        let mut windows: Vec<_> =
            windows.filter(|instance| instance.platform == Platform::Windows).collect();
        for instances in windows.chunks_mut(FILTER_VALUES_MAX) {
            let ids = instances.iter().map(|instance| instance.id.clone()).collect();
            let mut known = self.vss_components(ids).await?;
            for instance in instances {
                instance.vss_components = known.remove(&instance.id).unwrap_or_default();
            }
        }
        Ok(())
    }

    async fn vss_components(
        &self,
        ids: Vec<String>,
    ) -> Result<BTreeMap<String, Components>, Fault> {
        let filter = InventoryFilter::builder()
            .key(INSTANCE_ID)
            .set_values(Some(ids))
            .r#type(InventoryQueryOperatorType::Equal)
            .build()
            .map_err(unbuildable)?;
        let wanted = ResultAttribute::builder().type_name(TYPE).build().map_err(unbuildable)?;
        let request = self.ssm.get_inventory().filters(filter).result_attributes(wanted);
        let mut pages = request.into_paginator().send();
        let mut known = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for entity in page.map_err(fault)?.entities() {
                let item = entity.data().and_then(|data| data.get(TYPE));
                let (Some(id), Some(item)) = (entity.id(), item) else { continue };
                let is_vss = |one: &&std::collections::HashMap<String, String>| {
                    one.get("Name").is_some_and(|name| name == NAME)
                };
                let found = item.content().iter().find(is_vss);
                let components = found.map_or(Components::Missing, |one| {
                    Components::Installed(one.get("Version").cloned().unwrap_or_default())
                });
                known.insert(id.to_owned(), components);
            }
        }
        Ok(known)
    }
}
