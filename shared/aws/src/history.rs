//! The ledger as a list, newest first, for people: an index with one partition a day.
//!
//! A day is small enough to be read whole (a row is some 400 bytes, so 1,000 runs a night are
//! 50 read units), which makes one index do for every filter.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::{Fault, FaultKind};
use stillpoint_wire::ledger::Row;
use stillpoint_wire::time::day;

use crate::Cloud;
use crate::fault::fault;

/// As `infra/template.yaml` names it.
const INDEX: &str = "by-day";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Cloud {
    /// The rows of runs that began at `since_ms` or later and before `until_ms`, newest first,
    /// as far as `wanted` takes them and up to `limit`. Lags behind the records by moments.
    ///
    /// # Errors
    /// Any of the reads.
    pub async fn history(
        &self,
        since_ms: u64,
        until_ms: u64,
        limit: usize,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Vec<Row>, Fault> {
        let mut rows = vec![];
        let mut end_ms = until_ms;
        while end_ms > since_ms && rows.len() < limit {
            let begin_ms = ((end_ms - 1) / DAY_MS * DAY_MS).max(since_ms);
            self.day(begin_ms, end_ms - 1, limit, &wanted, &mut rows).await?;
            end_ms = begin_ms;
        }
        Ok(rows)
    }

    /// One day, or the part of it from `first_ms` to `last_ms`.
    async fn day(
        &self,
        first_ms: u64,
        last_ms: u64,
        limit: usize,
        wanted: &impl Fn(&Row) -> bool,
        rows: &mut Vec<Row>,
    ) -> Result<(), Fault> {
        let number = |value: u64| AttributeValue::N(value.to_string());
        let query = self.dynamodb.query().table_name(&self.names.table).index_name(INDEX);
        let mut pages = query
            .key_condition_expression("#day = :day AND startedMs BETWEEN :first AND :last")
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":day", AttributeValue::S(day(first_ms)))
            .expression_attribute_values(":first", number(first_ms))
            .expression_attribute_values(":last", number(last_ms))
            .scan_index_forward(false)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for item in page.map_err(fault)?.items() {
                let row = row(item)?;
                if rows.len() < limit && wanted(&row) {
                    rows.push(row);
                }
            }
            if rows.len() >= limit {
                return Ok(());
            }
        }
        Ok(())
    }
}

pub(crate) fn row(item: &HashMap<String, AttributeValue>) -> Result<Row, Fault> {
    let text = item.get("row").and_then(|row| row.as_s().ok());
    serde_json::from_str(text.map_or("", String::as_str)).map_err(|error| Fault {
        kind: FaultKind::Refused,
        code: "LedgerUnreadable".to_owned(),
        text: format!("{:?}: {error}", item.get("runId")),
    })
}
