//! The documents that a policy names: whether there are such, and whether the runner may send them.

use std::collections::BTreeSet;

use stillpoint_aws::Cloud;
use stillpoint_aws::outside::Fault;
use stillpoint_run::Order;

use super::finding::Finding;
use super::grants;

/// The tag with which a document's owner lets DLM, and the runner, send it.
const MARK: &str = "DLMScriptsAccess";

pub(super) async fn examine(cloud: &Cloud, subject: &str, orders: &[Order]) -> Vec<Finding> {
    let mut found = vec![];
    for document in documents(orders) {
        found.push(sendable(cloud, subject, &document).await);
    }
    found
}

fn documents(orders: &[Order]) -> BTreeSet<String> {
    let scripts = orders.iter().filter_map(|order| order.script.as_ref());
    scripts.map(|script| script.document.clone()).collect()
}

/// The runner's role takes our own documents, AWS's, and those that are marked.
async fn sendable(cloud: &Cloud, subject: &str, name: &str) -> Finding {
    let marked = async {
        if !cloud.has_document(name).await? {
            return Ok(None);
        }
        if name.starts_with("Stillpoint-") || name.starts_with("AWS") {
            return Ok(Some(true));
        }
        let tags = cloud.document_tags(name).await?;
        Ok(Some(tags.get(MARK).is_some_and(|value| value == "true")))
    };
    match marked.await {
        Ok(Some(true)) => Finding::good(subject, format!("document {name} can be sent")),
        Ok(Some(false)) => Finding::bad(
            subject,
            format!("the runner may not send {name}: it has no tag {MARK}=true"),
            format!(
                "aws ssm add-tags-to-resource --resource-type Document --resource-id {name} \
                 --tags Key={MARK},Value=true"
            ),
        ),
        Ok(None) => Finding::bad(
            subject,
            format!("there is no SSM document {name} in this Region"),
            "create it, or name another ExecutionHandler; a shared one is named by its ARN",
        ),
        Err(fault) => unseen(subject, name, &fault),
    }
}

fn unseen(subject: &str, name: &str, fault: &Fault) -> Finding {
    if grants::is_denied(fault) {
        let action = format!("look at document {name} ({})", fault.text);
        return grants::missing(&action, "stillpoint doctor");
    }
    let remedy = "once more; if it stays, look at the document in Systems Manager";
    Finding::warn(subject, format!("document {name} could not be looked at: {fault}"), remedy)
}
