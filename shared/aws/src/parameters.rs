//! Policies, as they are kept in Parameter Store.

use stillpoint_drive::outside::Fault;

use crate::Cloud;
use crate::fault::{fault, incomplete};

impl Cloud {
    /// Reads a policy's JSON.
    ///
    /// # Errors
    /// `ParameterNotFound` if there is none of that id, and the store's own faults.
    pub async fn policy_json(&self, policy_id: &str) -> Result<String, Fault> {
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
}
