//! The budget of CreateSnapshots calls: one DynamoDB item, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_budget::Bucket;
use stillpoint_drive::outside::{Buckets, Fault, SaveFault};

use crate::Cloud;
use crate::fault::fault;
use crate::item::{number, put_fenced, text, whole};

const ID: &str = "budget:CreateSnapshots";

impl Buckets for Cloud {
    async fn bucket(&self) -> Result<(Bucket, Option<u64>), Fault> {
        let request = self.dynamodb.get_item().table_name(&self.names.state).key("id", text(ID));
        let answer = request.consistent_read(true).send().await.map_err(fault)?;
        answer.item().map_or(Ok((Bucket::default(), None)), read)
    }

    async fn save_bucket(&self, bucket: &Bucket, expected: Option<u64>) -> Result<(), SaveFault> {
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.state)
            .item("id", text(ID))
            .item("fullAtUs", number(bucket.full_at_us))
            .item("learnedMilli", number(bucket.learned_milli))
            .item("throttledMs", number(bucket.throttled_ms));
        let saved = put_fenced(request, "id", expected).await.map_err(SaveFault::Fault)?;
        saved.map(drop).ok_or(SaveFault::Overtaken)
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Result<(Bucket, Option<u64>), Fault> {
    let bucket = Bucket {
        full_at_us: whole(item, "fullAtUs")?,
        learned_milli: whole(item, "learnedMilli")?,
        throttled_ms: whole(item, "throttledMs")?,
    };
    Ok((bucket, Some(whole(item, "version")?)))
}
