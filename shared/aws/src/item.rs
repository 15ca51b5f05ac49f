//! DynamoDB items: their fields, and the write that is fenced by a version.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use stillpoint_drive::outside::Fault;

use crate::fault::{fault, incomplete};

/// Writes an item, `key` being the name of its key, if it still has the version that was read;
/// none if it was to be new. The version that it has now, or none: somebody else wrote first.
pub(crate) async fn put_fenced(
    request: PutItemFluentBuilder,
    key: &str,
    expected: Option<u64>,
) -> Result<Option<u64>, Fault> {
    let version = expected.unwrap_or(0) + 1;
    let request = request.item("version", number(version));
    let request = match expected {
        None => request.condition_expression(format!("attribute_not_exists({key})")),
        Some(expected) => request
            .condition_expression("version = :expected")
            .expression_attribute_values(":expected", number(expected)),
    };
    match request.send().await.map_err(fault) {
        Ok(_) => Ok(Some(version)),
        Err(fault) if fault.code == "ConditionalCheckFailedException" => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A whole number of an item.
pub(crate) fn whole(item: &HashMap<String, AttributeValue>, name: &str) -> Result<u64, Fault> {
    let digits = item.get(name).and_then(|value| value.as_n().ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| incomplete(name))
}

/// A text of an item.
pub(crate) fn words<'a>(
    item: &'a HashMap<String, AttributeValue>,
    name: &str,
) -> Result<&'a String, Fault> {
    item.get(name).and_then(|value| value.as_s().ok()).ok_or_else(|| incomplete(name))
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
