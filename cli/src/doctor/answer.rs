//! What an agent's answer to a dry-run means for the next run.

use std::collections::BTreeSet;

use stillpoint_aws::outside::{CommandState, Fault};
use stillpoint_run::Order;
use stillpoint_wire::receipt::{Receipt, find};

use super::finding::Finding;
use super::{clock, grants};

const OURS: &str = env!("CARGO_PKG_VERSION");
/// What the documents end with when there is no agent, or it is not ready.
const NOT_READY: i32 = 206;
const INSTALL: &str =
    "make publish-agent, then send Stillpoint-InstallAgent to it (docs/QUICKSTART.md)";

/// The end of a command, and between which moments of this machine's clock it ran.
pub(super) struct Answered {
    pub(super) state: CommandState,
    pub(super) sent_ms: u64,
    pub(super) got_ms: u64,
}

pub(super) fn judge(
    order: &Order,
    answer: Result<Option<Answered>, Fault>,
    ahead_ms: i64,
) -> Vec<Finding> {
    let subject = &order.instance_id;
    match answer {
        Err(fault) if grants::is_denied(&fault) => {
            let action = format!("ask the agent of {subject} ({})", fault.text);
            vec![grants::missing(&action, "stillpoint doctor --probe")]
        }
        Err(fault) => {
            let remedy = "no command reached it: is it managed? docs/codes/SP3001.md";
            vec![Finding::bad(subject, fault.to_string(), remedy)]
        }
        Ok(None) => {
            let remedy = "is its SSM agent running? docs/codes/SP3003.md";
            vec![Finding::bad(subject, "did not answer within 90 s", remedy)]
        }
        Ok(Some(answered)) => match find(&answered.state.stdout) {
            Ok(Some(receipt)) => of_receipt(order, &answered, &receipt, ahead_ms),
            Ok(None) => vec![silent(subject, &answered.state)],
            Err(why) => vec![Finding::bad(subject, why, "docs/codes/SP3009.md")],
        },
    }
}

fn silent(subject: &str, state: &CommandState) -> Finding {
    if state.exit_code == Some(NOT_READY) && state.stderr.contains("is not installed") {
        return Finding::bad(subject, "stillpoint-agent is not installed", INSTALL);
    }
    let text = format!("no receipt: {} {}", state.details, state.stderr.trim());
    Finding::bad(subject, text, "docs/codes/SP3009.md")
}

fn of_receipt(
    order: &Order,
    answered: &Answered,
    receipt: &Receipt,
    ahead_ms: i64,
) -> Vec<Finding> {
    let subject = &order.instance_id;
    let mut found = vec![];
    if receipt.agent != OURS {
        let text = format!("stillpoint-agent {}, this command is {OURS}", receipt.agent);
        found.push(Finding::warn(subject, text, INSTALL));
    }
    if let Some(shown_ms) = receipt.clock_ms {
        let of_aws = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_sub(ahead_ms);
        let (first, last) = (of_aws(answered.sent_ms), of_aws(answered.got_ms));
        let ahead_ms = clock::ahead_ms(shown_ms, first, last);
        let judged = clock::judge(subject, "the instance's clock", ahead_ms);
        found.extend(judged.needs_somebody().then_some(judged));
    }
    if answered.state.exit_code != Some(0) {
        let text = format!("a pre-script would fail: {}", receipt.reason);
        found.push(Finding::bad(subject, text, "docs/codes/exit-codes.md"));
        return found;
    }
    let unfrozen = unfrozen(order, receipt);
    if unfrozen.is_empty() {
        let mounts: Vec<_> = receipt.frozen.iter().map(|one| one.mount.as_str()).collect();
        found.push(Finding::good(subject, format!("would freeze {}", mounts.join(", "))));
    }
    found.extend(
        unfrozen.into_iter().map(|text| Finding::bad(subject, text, "docs/codes/SP3013.md")),
    );
    found
}

/// Data volumes of the set of which something stays writable, each with the agent's reasons.
fn unfrozen(order: &Order, receipt: &Receipt) -> Vec<String> {
    let held: BTreeSet<&str> =
        receipt.frozen.iter().flat_map(|one| &one.volumes).map(String::as_str).collect();
    let reasons: Vec<String> =
        receipt.left_out.iter().map(|one| format!("{}: {}", one.mount, one.why)).collect();
    let data = order.volumes.iter().filter(|volume| !volume.boot);
    data.filter(|volume| !held.contains(volume.volume_id.as_str()))
        .map(|volume| {
            format!(
                "{} ({}) is in the set and cannot be frozen; left out: {}",
                volume.volume_id,
                volume.device,
                if reasons.is_empty() {
                    "nothing is mounted from it".to_owned()
                } else {
                    reasons.join("; ")
                }
            )
        })
        .collect()
}
