//! CreateRule.Scripts: the SSM document, its stages and what to do when it fails.
//!
//! Ranges and defaults are DLM's, and what DLM forbids beside AWS_VSS_BACKUP is forbidden here.

use crate::json::Json;
use crate::policy::{Handler, Script};
use crate::reader::{At, Object};
use crate::report::Report;

const MAX_SCRIPTS: usize = 1;
const TIMEOUT_SECS: std::ops::RangeInclusive<u32> = 10..=120;
const DEFAULT_TIMEOUT_SECS: u32 = 10;
const MAX_RETRIES: u32 = 3;
/// DLM takes names and ARNs of up to 200 characters, SendCommand only these.
const DOCUMENT_CHARS: std::ops::RangeInclusive<usize> = 3..=128;

const VSS_HANDLER: &str = "AWS_VSS_BACKUP";
/// What DLM runs for it.
const VSS_DOCUMENT: &str = "AWSEC2-CreateVssSnapshot";
/// That document's own default, for the whole of it.
const VSS_TIMEOUT_SECS: u32 = 800;
const SAP_HANA_HANDLER: &str = "AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA";

const FIELDS: [&str; 6] = [
    "Stages",
    "ExecutionHandlerService",
    "ExecutionHandler",
    "ExecuteOperationOnScriptFailure",
    "ExecutionTimeout",
    "MaximumRetryCount",
];

pub(super) fn read(rule: &Object<'_>, report: &mut Report) -> Option<Script> {
    let scripts = rule.get("Scripts")?.list(report, 0..=MAX_SCRIPTS);
    let script = scripts.first()?.object(report, &FIELDS)?;
    let handler = script
        .need(report, "ExecutionHandler", "the name or ARN of an SSM document")
        .and_then(|field| handler(&field, report));
    if is_vss_handler(script.get("ExecutionHandler").as_ref()) {
        for name in ["Stages", "ExecutionHandlerService", "ExecutionTimeout"] {
            script.absent(report, name, "AWS_VSS_BACKUP goes without it");
        }
    } else if let Some(field) = script.get("ExecutionHandlerService") {
        field.one_of(report, &[("AWS_SYSTEMS_MANAGER", ())]);
    }
    let stages = stages(&script, report);
    if stages == Some((false, true)) {
        let why = "it says what happens when the pre-script fails, and Stages has no PRE";
        script.absent(report, "ExecuteOperationOnScriptFailure", why);
    }
    let fallback = script.boolean_or(report, "ExecuteOperationOnScriptFailure", true);
    let timeout = script.get("ExecutionTimeout");
    let timeout = timeout.map(|field| field.whole(report, TIMEOUT_SECS, "(seconds)"));
    let retries = script.get("MaximumRetryCount");
    let retries = retries.map(|field| field.whole(report, 0..=MAX_RETRIES, "(retries)"));
    let (pre, post) = stages?;
    let (handler, document) = handler?;
    Some(Script {
        document,
        handler,
        pre,
        post,
        timeout_secs: timeout.unwrap_or(Some(match handler {
            Handler::Vss => VSS_TIMEOUT_SECS,
            Handler::Document | Handler::SapHana => DEFAULT_TIMEOUT_SECS,
        }))?,
        retries: retries.unwrap_or(Some(0))?,
        fallback,
    })
}

/// Whether a schedule, valid or not, asks for VSS.
pub(super) fn is_vss(schedule: &At<'_>) -> bool {
    let scripts = schedule.field("CreateRule").and_then(|rule| rule.field("Scripts"));
    let handler = scripts.and_then(|scripts| scripts.first()?.field("ExecutionHandler"));
    is_vss_handler(handler.as_ref())
}

fn is_vss_handler(handler: Option<&At<'_>>) -> bool {
    handler.is_some_and(|field| matches!(field.json, Json::Text(text) if text == VSS_HANDLER))
}

fn handler(field: &At<'_>, report: &mut Report) -> Option<(Handler, String)> {
    let text = field.text(report)?;
    if text == VSS_HANDLER {
        return Some((Handler::Vss, VSS_DOCUMENT.to_owned()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    if !DOCUMENT_CHARS.contains(&text.chars().count()) || !text.chars().all(plain) {
        field.refuse(
            report,
            "3 to 128 letters, digits and _ - . : / (what SSM takes as a document's name or ARN)",
        );
        return None;
    }
    // A shared document is named by its ARN, whose last part is the name.
    let name = text.rsplit('/').next().unwrap_or(text);
    let handler = if name == SAP_HANA_HANDLER { Handler::SapHana } else { Handler::Document };
    Some((handler, text.to_owned()))
}

/// Which stages run; DLM runs both where none are named.
fn stages(script: &Object<'_>, report: &mut Report) -> Option<(bool, bool)> {
    let Some(field) = script.get("Stages") else { return Some((true, true)) };
    let (mut pre, mut post) = (false, false);
    for entry in field.list(report, 1..=2) {
        let Some(is_pre) = entry.one_of(report, &[("PRE", true), ("POST", false)]) else {
            continue;
        };
        let stage = if is_pre { &mut pre } else { &mut post };
        if *stage {
            entry.refuse(report, "each stage once");
        }
        *stage = true;
    }
    (pre || post).then_some((pre, post))
}
