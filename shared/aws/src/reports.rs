//! What the reaper did, for the person who asked it to.

use stillpoint_drive::outside::{Clock, Fault, FaultKind};
use stillpoint_upkeep::reaper::Report;

use crate::Cloud;
use crate::fault::{fault, unbuildable};
use crate::item::{number, text, words};

/// Whoever asked reads it within minutes.
const KEPT_SECS: u64 = 24 * 60 * 60;

impl Cloud {
    /// Puts down what a request came to. The same request may come twice; the later report stays.
    ///
    /// # Errors
    /// That of the write.
    pub async fn report_retention(&self, request_id: &str, report: &Report) -> Result<(), Fault> {
        let body = serde_json::to_string(report).map_err(unbuildable)?;
        let request = self
            .dynamodb
            .put_item()
            .table_name(&self.names.state)
            .item("id", text(&id(request_id)))
            .item("expiresAt", number(self.now_ms() / 1_000 + KEPT_SECS))
            .item("body", text(&body));
        request.send().await.map(drop).map_err(fault)
    }

    /// What a request came to; none while nobody has said.
    ///
    /// # Errors
    /// That of the read, or a report that cannot be read.
    pub async fn retention_report(&self, request_id: &str) -> Result<Option<Report>, Fault> {
        let request = self.dynamodb.get_item().table_name(&self.names.state);
        let request = request.key("id", text(&id(request_id))).consistent_read(true);
        let answer = request.send().await.map_err(fault)?;
        let Some(item) = answer.item() else { return Ok(None) };
        serde_json::from_str(words(item, "body")?).map(Some).map_err(|error| Fault {
            kind: FaultKind::Refused,
            code: "ReportUnreadable".to_owned(),
            text: error.to_string(),
        })
    }
}

fn id(request_id: &str) -> String {
    format!("retention:{request_id}")
}
