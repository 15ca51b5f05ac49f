//! What should have happened: the deployed schedules, and the firings on record.

use serde::Deserialize;
use stillpoint_drive::outside::{Deployed, Fault, FaultKind, Firing, Watch};

use crate::Cloud;
use crate::fault::fault;
use crate::item::{number, text};

/// A firing is of no interest to anybody after this time.
const KEPT_SECS: u64 = 30 * 24 * 60 * 60;

/// The parameter of a deployed schedule, as `infra/policy.yaml` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameter {
    policy_id: String,
    schedule: String,
    expression: String,
    time_zone: String,
}

impl Watch for Cloud {
    async fn deployed(&self) -> Result<Vec<Deployed>, Fault> {
        let request = self.ssm.get_parameters_by_path().path(&self.names.schedule_prefix);
        let mut pages = request.recursive(true).into_paginator().send();
        let mut deployed = vec![];
        while let Some(page) = pages.next().await {
            for parameter in page.map_err(fault)?.parameters() {
                let name = parameter.name().unwrap_or_default();
                let value = parameter.value().unwrap_or_default();
                let read: Parameter = serde_json::from_str(value).map_err(|error| Fault {
                    kind: FaultKind::Refused,
                    code: "ScheduleUnreadable".to_owned(),
                    text: format!("{name}: {error}"),
                })?;
                let since = parameter.last_modified_date().and_then(|at| at.to_millis().ok());
                deployed.push(Deployed {
                    policy_id: read.policy_id,
                    schedule_name: read.schedule,
                    expression: read.expression,
                    time_zone: read.time_zone,
                    since_ms: since.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
                });
            }
        }
        Ok(deployed)
    }

    async fn has_fired(&self, firing: &Firing) -> Result<bool, Fault> {
        let request = self.dynamodb.get_item().table_name(&self.names.state);
        let request = request.key("id", text(&id(firing))).consistent_read(true);
        Ok(request.send().await.map_err(fault)?.item().is_some())
    }

    async fn record_firing(&self, firing: &Firing) -> Result<(), Fault> {
        let now_secs = stillpoint_drive::outside::Clock::now_ms(self) / 1_000;
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.state)
            .item("id", text(&id(firing)))
            .item("expiresAt", number(now_secs + KEPT_SECS));
        request.send().await.map(drop).map_err(fault)
    }
}

/// Neither a policy's id nor a schedule's name may contain a line break.
fn id(firing: &Firing) -> String {
    let Firing { policy_id, schedule_name, nominal_time } = firing;
    format!("firing:{policy_id}\n{schedule_name}\n{nominal_time}")
}
