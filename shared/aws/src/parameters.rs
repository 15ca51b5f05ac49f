//! Policies, as they are kept in Parameter Store.

use stillpoint_drive::outside::{Fault, Planning};
use stillpoint_policy::{Inventory, Tag};

use crate::Cloud;
use crate::fault::{fault, incomplete};

impl Planning for Cloud {
    async fn policy_json(&self, policy_id: &str) -> Result<String, Fault> {
        let name = format!("{}{policy_id}", self.names.policy_prefix);
        let request = self.ssm.get_parameter().name(&name).with_decryption(true);
        let answer = request.send().await.map_err(|error| {
            let mut fault = fault(error);
            fault.text = format!("{name}: {}", fault.text);
            fault
        })?;
        let value = answer.parameter().and_then(|parameter| parameter.value());
        value.map(str::to_owned).ok_or_else(|| incomplete("parameter value"))
    }

    async fn inventory(
        &self,
        targets: &[Tag],
        instance_ids: Option<&[String]>,
    ) -> Result<Inventory, Fault> {
        self.read_inventory(targets, instance_ids).await
    }

    async fn see_vss_components(&self, inventory: &mut Inventory) -> Result<(), Fault> {
        self.read_vss_components(inventory).await
    }
}
