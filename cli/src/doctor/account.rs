//! The account and Region: credentials, what is deployed, the clock.

use stillpoint_aws::Cloud;

use super::finding::Finding;
use super::{clock, grants};
use crate::Failure;

const OURS: &str = env!("CARGO_PKG_VERSION");

/// What is said of the account.
pub(super) struct Account {
    pub(super) findings: Vec<Finding>,
    /// Whether there is a stack, as far as this caller can know.
    pub(super) is_deployed: bool,
    /// How far this machine's clock is ahead of AWS's.
    pub(super) ahead_ms: i64,
}

/// # Errors
/// When AWS cannot be reached or does not know the caller: nothing else could be said then.
pub(super) async fn examine(cloud: &Cloud) -> Result<Account, Failure> {
    let (version, ahead_ms) = cloud.deployed().await;
    let mut findings = vec![];
    let is_deployed = match version {
        Ok(version) => {
            findings.push(Finding::good("credentials", "AWS answers"));
            findings.push(deployed(version.as_deref()));
            version.is_some()
        }
        Err(fault) if grants::is_denied(&fault) => {
            findings.push(Finding::good("credentials", "AWS answers"));
            findings.push(grants::missing(
                "ssm:GetParameter on /stillpoint/version",
                "stillpoint doctor",
            ));
            true
        }
        Err(fault) => return Err(fault.into()),
    };
    findings.extend(ahead_ms.map(|ahead_ms| clock::judge("clock", "this machine", ahead_ms)));
    Ok(Account { findings, is_deployed, ahead_ms: ahead_ms.unwrap_or(0) })
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
