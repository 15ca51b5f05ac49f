//! What this caller may do. Each right that the commands read with is tried, on names that mostly
//! nobody has, and one that is missing is told with the commands that need it. Rights that change something
//! are not tried.

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::{Clock, Fault, Ledger, Planning};
use stillpoint_upkeep::jobs::outside::{Jobs, Machines};
use stillpoint_upkeep::outside::Shelf;

use super::finding::Finding;

const NO_RUN: &str = "run-00000000000000000000";
const NO_INSTANCE: &str = "i-00000000000000000";
const NO_VOLUME: &str = "vol-00000000000000000";
const NO_POLICY: &str = "stillpoint-doctor";
/// One of the stack's own.
const DOCUMENT: &str = "Stillpoint-Filesystem";

/// Whether AWS knows the caller and does not let them.
pub(super) fn is_denied(fault: &Fault) -> bool {
    fault.code.contains("AccessDenied") || fault.code == "UnauthorizedOperation"
}

/// A right that the caller does not have.
pub(super) fn missing(action: &str, commands: &str) -> Finding {
    Finding::bad(
        "grants",
        format!("this caller may not {action}, which {commands} needs"),
        "attach the policy of the stack's output OperatorPolicyArn; if it is attached, a boundary or a \
         service control policy denies it",
    )
}

pub(super) async fn examine(cloud: &Cloud) -> Vec<Finding> {
    let (home, now_ms) = (cloud.home_region(), cloud.now_ms());
    let no_runs = [NO_RUN.to_owned()];
    let tried = [
        (
            "ssm:GetParametersByPath on /stillpoint/policies",
            "doctor, retain",
            cloud.policies().await.err(),
        ),
        (
            "ssm:GetParameter on /stillpoint/policies",
            "plan, run",
            cloud.policy_json(NO_POLICY).await.err(),
        ),
        ("ssm:DescribeDocument", "doctor", cloud.has_document(NO_POLICY).await.err()),
        ("ssm:ListTagsForResource", "doctor", cloud.document_tags(DOCUMENT).await.err()),
        (
            "ec2:DescribeInstances",
            "plan, run, retain, restore",
            cloud.instance_seen(NO_INSTANCE).await.err(),
        ),
        (
            "ec2:DescribeVolumes",
            "plan, run, retain adopt",
            cloud.attachments(&[NO_VOLUME.to_owned()]).await.err(),
        ),
        (
            "ec2:DescribeSnapshots",
            "run --wait, retain, restore",
            cloud.snapshots_made(&no_runs).await.err(),
        ),
        ("ec2:DescribeLockedSnapshots", "retain", cloud.locks(&home).await.err()),
        ("ec2:DescribeImages", "retain", cloud.images(&home).await.err()),
        ("dynamodb:GetItem on stillpoint-runs", "show", cloud.load(NO_RUN).await.err()),
        (
            "dynamodb:BatchGetItem on stillpoint-runs",
            "run --wait",
            cloud.rows(&no_runs).await.err(),
        ),
        (
            "dynamodb:Query on stillpoint-runs/index/by-day",
            "runs",
            cloud.history(now_ms, now_ms + 1, 1, |_| true).await.err(),
        ),
        (
            "dynamodb:GetItem on stillpoint-jobs",
            "restore, drill",
            cloud.load_job(NO_RUN).await.err(),
        ),
        (
            "dynamodb:GetItem on stillpoint-state",
            "retain",
            cloud.retention_report(NO_POLICY).await.err(),
        ),
    ];
    let count = tried.len();
    let found: Vec<Finding> = tried
        .into_iter()
        .filter_map(|(action, commands, fault)| {
            let fault = fault.filter(|fault| fault.code != "ParameterNotFound")?;
            Some(if is_denied(&fault) {
                missing(action, &format!("stillpoint {commands}"))
            } else {
                let remedy = "once more; if it stays, the stack is not whole: make deploy";
                Finding::bad("grants", format!("{action} was tried: {fault}"), remedy)
            })
        })
        .collect();
    if found.is_empty() {
        let text = format!("the {count} rights to read that the commands need are there");
        return vec![Finding::good("grants", text)];
    }
    found
}
