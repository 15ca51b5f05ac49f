//! The records of restores and drills: one DynamoDB item a job, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::{Fault, FaultKind};
use stillpoint_restore::{Job, Phase};
use stillpoint_upkeep::jobs::outside::{JobSaveFault, Jobs, Lease, RecordedJob};

use crate::Cloud;
use crate::fault::{fault, unbuildable};
use crate::item::{number, put_fenced, text, whole, words};

impl Jobs for Cloud {
    async fn load_job(&self, job_id: &str) -> Result<Option<RecordedJob>, Fault> {
        let request = self.dynamodb.get_item().table_name(&self.names.jobs_table);
        let request = request.key("jobId", text(job_id)).consistent_read(true);
        let answer = request.send().await.map_err(fault)?;
        answer.item().map(read).transpose()
    }

    async fn save_job(
        &self,
        job: &Job,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, JobSaveFault> {
        let body = serde_json::to_string(job);
        let body = body.map_err(|error| JobSaveFault::Fault(unbuildable(error)))?;
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.jobs_table)
            .item("jobId", text(&job.order.id))
            .item("driver", text(&lease.driver))
            .item("leaseUntilMs", number(lease.until_ms))
            .item("over", AttributeValue::Bool(job.phase == Phase::Done))
            .item("startedMs", number(job.started_ms))
            .item("body", text(&body));
        let saved = put_fenced(request, "jobId", expected).await.map_err(JobSaveFault::Fault)?;
        saved.ok_or(JobSaveFault::Overtaken)
    }

    async fn unfinished_jobs(&self) -> Result<Vec<String>, Fault> {
        let request = self.dynamodb.scan().table_name(&self.names.jobs_table);
        let request = request
            .filter_expression("#over = :no")
            .expression_attribute_names("#over", "over")
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        let mut pages = request.into_paginator().send();
        let mut found = vec![];
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault)?;
            let ids = page.items().iter().filter_map(|item| item.get("jobId")?.as_s().ok());
            found.extend(ids.cloned());
        }
        Ok(found)
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Result<RecordedJob, Fault> {
    let job = serde_json::from_str(words(item, "body")?).map_err(|error| Fault {
        kind: FaultKind::Refused,
        code: "JobUnreadable".to_owned(),
        text: error.to_string(),
    })?;
    let lease =
        Lease { driver: words(item, "driver")?.clone(), until_ms: whole(item, "leaseUntilMs")? };
    Ok(RecordedJob { job, version: whole(item, "version")?, lease })
}
