//! The run ledger: one DynamoDB item a run, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::{Fault, FaultKind, Lease, Ledger, Recorded, SaveFault};
use stillpoint_run::{Phase, Run};
use stillpoint_wire::{ledger, time};

use crate::Cloud;
use crate::fault::{fault, incomplete, unbuildable};
use crate::item::{number, put_fenced, text, whole, words};

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
        let body = ledger::write(run).map_err(|error| SaveFault::Fault(unbuildable(error)))?;
        let row = serde_json::to_string(&ledger::Row::of(run));
        let row = row.map_err(|error| SaveFault::Fault(unbuildable(error)))?;
        let mut request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.table)
            .item("runId", text(&run.order.run_id))
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
        let saved = put_fenced(request, "runId", expected).await.map_err(SaveFault::Fault)?;
        saved.ok_or(SaveFault::Overtaken)
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
    let lease = Lease {
        driver: words(item, "driver")?.clone(),
        until_ms: whole(item, "leaseUntilMs")?,
        due_ms: whole(item, "dueMs")?,
    };
    Ok(Recorded { run, version: whole(item, "version")?, lease })
}
