//! The run ledger: one DynamoDB item a run, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::{Fault, FaultKind, Lease, Ledger, Recorded, SaveFault};
use stillpoint_run::Run;
use stillpoint_wire::{ledger, time};

use crate::Cloud;
use crate::fault::{fault, incomplete, unbuildable};

impl Ledger for Cloud {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        let answer = self
            .dynamodb
            .get_item()
            .table_name(&self.names.table)
            .key("runId", text(run_id))
            .consistent_read(true)
            .send()
            .await
            .map_err(fault)?;
        answer.item().map(read).transpose()
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        let version = expected.unwrap_or(0) + 1;
        let body = ledger::write(run).map_err(|error| SaveFault::Fault(unbuildable(error)))?;
        let row = serde_json::to_string(&ledger::Row::of(run));
        let row = row.map_err(|error| SaveFault::Fault(unbuildable(error)))?;
        let mut request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.table)
            .item("runId", text(&run.order.run_id))
            .item("version", number(version))
            .item("driver", text(&lease.driver))
            .item("leaseUntilMs", number(lease.until_ms))
            .item("policyId", text(&run.order.policy_id))
            .item("instanceId", text(&run.order.instance_id))
            .item("thawOwed", AttributeValue::Bool(run.thaw_owed.is_some()))
            .item("startedMs", number(run.started_ms))
            .item("day", text(&time::day(run.started_ms)))
            .item("row", text(&row))
            .item("body", text(&body));
        if let Some(verdict) = &run.verdict {
            request = request.item("outcome", text(verdict.outcome.as_str()));
        }
        request = match expected {
            None => request.condition_expression("attribute_not_exists(runId)"),
            Some(expected) => request
                .condition_expression("version = :expected")
                .expression_attribute_values(":expected", number(expected)),
        };
        match request.send().await.map_err(fault) {
            Ok(_) => Ok(version),
            Err(fault) if fault.code == "ConditionalCheckFailedException" => {
                Err(SaveFault::Overtaken)
            }
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Result<Recorded, Fault> {
    let body = item.get("body").and_then(|body| body.as_s().ok());
    let body = body.ok_or_else(|| incomplete("body of the run"))?;
    let run = ledger::read(body).map_err(|text| Fault {
        kind: FaultKind::Refused,
        code: "LedgerUnreadable".to_owned(),
        text,
    })?;
    let field = |name| {
        let value = item.get(name).and_then(|value: &AttributeValue| value.as_n().ok());
        value.and_then(|digits| digits.parse::<u64>().ok()).ok_or_else(|| incomplete(name))
    };
    let driver = item.get("driver").and_then(|driver| driver.as_s().ok());
    let driver = driver.ok_or_else(|| incomplete("driver"))?.clone();
    let lease = Lease { driver, until_ms: field("leaseUntilMs")? };
    Ok(Recorded { run, version: field("version")?, lease })
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
