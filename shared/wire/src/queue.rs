//! What Lambda's poller of a queue hands over and gets back.

use serde::{Deserialize, Serialize};

/// A batch of messages.
#[derive(Debug, Deserialize)]
pub struct QueueEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// SQS's id.
    pub message_id: String,
    /// What was sent.
    pub body: String,
}

/// The messages that are not done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// One a message that must come again.
    pub batch_item_failures: Vec<Failure>,
}

/// One message that must come again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its id.
    pub item_identifier: String,
}
