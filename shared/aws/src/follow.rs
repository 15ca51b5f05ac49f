//! Runs that somebody waits for: where they stand, and what EC2 has of them already.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_ec2::types::Filter;
use stillpoint_drive::outside::Fault;
use stillpoint_wire::ledger::Row;
use stillpoint_wire::tags::RUN_ID;

use crate::Cloud;
use crate::fault::{fault, unbuildable};
use crate::history::row;

/// BatchGetItem takes 100 keys, a filter of DescribeSnapshots 200 values.
const KEYS_MAX: usize = 100;

impl Cloud {
    /// The rows of these runs, as they are on record now; a run that is not is left out.
    ///
    /// # Errors
    /// Any of the reads.
    pub async fn rows(&self, run_ids: &[String]) -> Result<BTreeMap<String, Row>, Fault> {
        let mut rows = BTreeMap::new();
        for run_ids in run_ids.chunks(KEYS_MAX) {
            let keys = run_ids.iter().map(|run_id| {
                [("runId".to_owned(), AttributeValue::S(run_id.clone()))].into_iter().collect()
            });
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(keys.collect()))
                .consistent_read(true)
                .projection_expression("runId, #row")
                .expression_attribute_names("#row", "row")
                .build()
                .map_err(unbuildable)?;
            let request = self.dynamodb.batch_get_item().request_items(&self.names.table, keys);
            let answer = request.send().await.map_err(fault)?;
            // What DynamoDB did not get to is asked for with the next look.
            let items = answer.responses().and_then(|tables| tables.get(&self.names.table));
            for item in items.map(Vec::as_slice).unwrap_or_default() {
                let row = row(item)?;
                rows.insert(row.run_id.clone(), row);
            }
        }
        Ok(rows)
    }

    /// How many snapshots EC2 shows of each of these runs.
    ///
    /// # Errors
    /// Any of the reads.
    pub async fn snapshots_made(
        &self,
        run_ids: &[String],
    ) -> Result<BTreeMap<String, usize>, Fault> {
        let mut made = BTreeMap::new();
        for run_ids in run_ids.chunks(KEYS_MAX) {
            let filter = Filter::builder().name(format!("tag:{RUN_ID}"));
            let filter = filter.set_values(Some(run_ids.to_vec())).build();
            let request = self.ec2.describe_snapshots().owner_ids("self").filters(filter);
            let mut pages = request.into_paginator().page_size(500).send();
            while let Some(page) = pages.next().await {
                for snapshot in page.map_err(fault)?.snapshots() {
                    let tag = snapshot.tags().iter().find(|tag| tag.key() == Some(RUN_ID));
                    if let Some(run_id) = tag.and_then(|tag| tag.value()) {
                        *made.entry(run_id.to_owned()).or_default() += 1;
                    }
                }
            }
        }
        Ok(made)
    }
}
