//! The account and Region: credentials, what is deployed, the clock, the ledger.

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Ledger;

use super::finding::Finding;
use crate::Failure;

const OURS: &str = env!("CARGO_PKG_VERSION");
/// AWS refuses a request whose time is 5 minutes off; half of that is on its way there.
const CLOCK_BAD_MS: u64 = 150_000;
const CLOCK_WARN_MS: u64 = 10_000;

/// # Errors
/// When AWS cannot be reached or does not know the caller: nothing else could be said then.
pub(super) async fn examine(cloud: &Cloud) -> Result<Vec<Finding>, Failure> {
    let (version, ahead_ms) = cloud.deployed().await?;
    let mut found = vec![Finding::good("credentials", "AWS answers"), deployed(version.as_deref())];
    found.extend(ahead_ms.map(clock));
    if version.is_some() {
        found.push(match cloud.load("doctor").await {
            Ok(_) => Finding::good("ledger", "can be read"),
            Err(fault) => Finding::bad(
                "ledger",
                fault.to_string(),
                "stillpoint runs and show need dynamodb:GetItem on the table stillpoint-runs",
            ),
        });
    }
    Ok(found)
}

fn deployed(version: Option<&str>) -> Finding {
    match version {
        None => Finding::bad(
            "deployed",
            "Stillpoint is not deployed in this account and Region",
            "make deploy; or say another --region or --profile",
        ),
        Some(OURS) => Finding::good("deployed", format!("version {OURS}")),
        Some(other) => Finding::warn(
            "deployed",
            format!("version {other}, this command is {OURS}"),
            "make deploy, or use the command of that version",
        ),
    }
}

fn clock(ahead_ms: i64) -> Finding {
    let off_ms = ahead_ms.unsigned_abs();
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let text = format!(
        "this machine is {:.1} s {side} AWS",
        std::time::Duration::from_millis(off_ms).as_secs_f64()
    );
    let remedy = "set the clock, such as with chrony: AWS refuses requests that are 5 minutes off";
    match off_ms {
        CLOCK_BAD_MS.. => Finding::bad("clock", text, remedy),
        CLOCK_WARN_MS.. => Finding::warn("clock", text, remedy),
        _ => Finding::good("clock", text),
    }
}
