//! The budget of CreateSnapshots calls: one DynamoDB item, conditional writes on its version.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_budget::Bucket;
use stillpoint_drive::outside::{Buckets, Fault, SaveFault};

use crate::Cloud;
use crate::fault::{fault, incomplete};
use crate::ledger::{number, text};

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
            .item("version", number(expected.unwrap_or(0) + 1))
            .item("fullAtUs", number(bucket.full_at_us))
            .item("learnedMilli", number(bucket.learned_milli))
            .item("throttledMs", number(bucket.throttled_ms));
        let request = match expected {
            None => request.condition_expression("attribute_not_exists(id)"),
            Some(expected) => request
                .condition_expression("version = :expected")
                .expression_attribute_values(":expected", number(expected)),
        };
        match request.send().await.map_err(fault) {
            Ok(_) => Ok(()),
            Err(fault) if fault.code == "ConditionalCheckFailedException" => {
                Err(SaveFault::Overtaken)
            }
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Result<(Bucket, Option<u64>), Fault> {
    let field = |name| {
        let value = item.get(name).and_then(|value: &AttributeValue| value.as_n().ok());
        value.and_then(|digits| digits.parse::<u64>().ok()).ok_or_else(|| incomplete(name))
    };
    let bucket = Bucket {
        full_at_us: field("fullAtUs")?,
        learned_milli: field("learnedMilli")?,
        throttled_ms: field("throttledMs")?,
    };
    Ok((bucket, Some(field("version")?)))
}
