//! The run ledger: one DynamoDB item a run, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::{Fault, FaultKind, Lease, Ledger, Recorded, SaveFault};
use stillpoint_run::{Phase, Run};
use stillpoint_wire::{ledger, time};

use crate::Cloud;
use crate::fault::{fault, incomplete, unbuildable};

/// The index of unfinished runs by their due time, and its one partition.
const DUE_INDEX: &str = "due";
const OPEN: &str = "open";

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
            .item("dueMs", number(lease.due_ms))
            .item("policyId", text(&run.order.policy_id))
            .item("instanceId", text(&run.order.instance_id))
            .item("thawOwed", AttributeValue::Bool(run.thaw_owed.is_some()))
            .item("startedMs", number(run.started_ms))
            .item("day", text(&time::day(run.started_ms)))
            .item("row", text(&row))
            .item("body", text(&body));
        if run.phase != Phase::Done {
            // Only unfinished runs are in the index of what is due.
            request = request.item("open", text(OPEN));
        }
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

    async fn overdue(&self, now_ms: u64, limit: usize) -> Result<Vec<String>, Fault> {
        let request = self
            .dynamodb
            .query()
            .table_name(&self.names.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("#open = :open AND dueMs < :now")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":open", text(OPEN))
            .expression_attribute_values(":now", number(now_ms))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await.map_err(fault)?;
        let ids = answer.items().iter().filter_map(|item| item.get("runId")?.as_s().ok().cloned());
        Ok(ids.collect())
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
    let lease = Lease { driver, until_ms: field("leaseUntilMs")?, due_ms: field("dueMs")? };
    Ok(Recorded { run, version: field("version")?, lease })
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
