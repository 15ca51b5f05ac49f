//! The functions' own rights, as their last runs met them: what IAM refused a function is in the
//! record of the run that failed by it.

use std::collections::BTreeMap;

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::{Clock, Fault, Ledger};
use stillpoint_run::Outcome;

use super::finding::Finding;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// A role that lacks a right fails one run after the other: the newest tell it all.
const LOOKED_AT: usize = 10;

/// Of the runs of these policies, or of all.
///
/// # Errors
/// Any of the reads.
pub(super) async fn examine(cloud: &Cloud, policies: &[String]) -> Result<Vec<Finding>, Fault> {
    let now_ms = cloud.now_ms();
    let since_ms = now_ms.saturating_sub(DAY_MS);
    let not_good = |row: &stillpoint_wire::ledger::Row| {
        row.outcome.is_some_and(|outcome| outcome != Outcome::Completed)
            && (policies.is_empty() || policies.contains(&row.policy_id))
    };
    let rows = cloud.history(since_ms, now_ms + 1, LOOKED_AT, not_good).await?;
    let mut refused: BTreeMap<String, Finding> = BTreeMap::new();
    for row in rows {
        let recorded = cloud.load(&row.run_id).await?;
        let cause = recorded.and_then(|recorded| recorded.run.verdict?.cause);
        let Some(cause) = cause.filter(|cause| is_refusal(&cause.text)) else { continue };
        let text = format!("IAM refused a function in {}: {}", row.run_id, cause.text);
        let remedy = "make deploy puts the roles back; if they are whole, a boundary or a service control \
                      policy denies it, or a tag that the role demands is missing";
        let words = cause.text.split("on resource").next().unwrap_or_default().to_owned();
        refused.entry(words).or_insert_with(|| Finding::bad("roles", text, remedy));
    }
    if refused.is_empty() {
        return Ok(vec![Finding::good(
            "roles",
            "IAM refused the functions nothing in the last 24 h",
        )]);
    }
    Ok(refused.into_values().collect())
}

fn is_refusal(text: &str) -> bool {
    ["AccessDenied", "UnauthorizedOperation", "not authorized to perform"]
        .iter()
        .any(|words| text.contains(words))
}
