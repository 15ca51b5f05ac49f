//! From the text of a policy to a checked [`Policy`], or to everything that is wrong with it.
//!
//! This file knows the three forms a document may have and the Policy object around the details;
//! the details are in `details` and below. Rules are DLM's; what DLM takes and this version does
//! not run is refused by name.

mod after;
mod create_rule;
mod default_policy;
mod details;
mod retain;
mod schedule;
mod script;
mod script_settings;
mod settings;
mod tags;

use crate::json::{Json, quoted};
use crate::policy::{Policy, State};
use crate::reader::{At, Object};
use crate::report::{FieldError, Report};
use crate::settings::Settings;

/// The id of a policy that came with a request and is stored nowhere.
pub const INLINE_POLICY_ID: &str = "inline";

/// DLM's limits for the Policy object.
const MAX_POLICY_ID_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 500;
const MAX_STATUS_MESSAGE_CHARS: usize = 500;
const MAX_ARN_CHARS: usize = 2048;

const POLICY_FIELDS: [&str; 11] = [
    "PolicyId",
    "Description",
    "State",
    "StatusMessage",
    "ExecutionRoleArn",
    "DateCreated",
    "DateModified",
    "PolicyDetails",
    "Tags",
    "PolicyArn",
    "DefaultPolicy",
];

/// Reads a policy. `policy_id` is the id it is stored under, or [`INLINE_POLICY_ID`]; a PolicyId
/// in the document must agree with the former and is ignored with the latter.
pub fn parse(policy_id: &str, json: &str) -> Result<Policy, Vec<FieldError>> {
    let mut report = Report::default();
    let policy = match serde_json::from_str::<Json>(json) {
        Ok(document) => read(policy_id, &document, &mut report),
        Err(error) => {
            report.add("document", format!("text that is not JSON ({error})"), "a JSON object");
            None
        }
    };
    match policy {
        Some(policy) if report.is_empty() => Ok(policy),
        _ => Err(report.into_errors()),
    }
}

fn read(policy_id: &str, document: &Json, report: &mut Report) -> Option<Policy> {
    check_stored_id(policy_id, report);
    let Json::Object(entries) = document else {
        report.add("document", document.shown(), "a JSON object");
        return None;
    };
    let has = |name: &str| entries.iter().any(|(field, _)| field == name);
    let root = At { json: document, path: String::new() };
    if has("Policy") {
        let root = root.object(report, &["Policy", settings::NAME])?;
        let settings = settings::read(&root, report);
        let mut policy = root.get("Policy")?;
        // Paths start at the Policy object, so that they read the same in every form.
        policy.path = String::new();
        if !matches!(policy.json, Json::Object(_)) {
            report.add("Policy", policy.json.shown(), "an object");
            return None;
        }
        let policy = policy.object(report, &POLICY_FIELDS)?;
        let policy = read_policy(policy_id, &policy, report);
        with_settings(policy?, settings, report)
    } else if has("PolicyDetails") {
        let policy = root.object(report, &with_extension(&POLICY_FIELDS))?;
        let settings = settings::read(&policy, report);
        let policy = read_policy(policy_id, &policy, report);
        with_settings(policy?, settings, report)
    } else if details::FIELDS.iter().any(|name| has(name)) {
        let root = At { json: document, path: "PolicyDetails".into() };
        let details = root.object(report, &with_extension(&details::FIELDS))?;
        let settings = settings::read(&details, report);
        let policy = details::read(&details, report);
        let policy = Policy { id: policy_id.into(), ..policy? };
        with_settings(policy, settings, report)
    } else {
        report.add(
            "document",
            "an object with neither Policy nor PolicyDetails nor Schedules",
            "what aws dlm get-lifecycle-policy prints, its Policy object, or a PolicyDetails object",
        );
        None
    }
}

/// The id ends up in tags, run ids and a Parameter Store name; the stricter `policy-` form is
/// DLM's own and not asked of policies that were never there.
fn check_stored_id(policy_id: &str, report: &mut Report) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let length = policy_id.chars().count();
    if !(1..=MAX_POLICY_ID_CHARS).contains(&length) || !policy_id.chars().all(plain) {
        report.add("PolicyId", quoted(policy_id), "1 to 64 letters, digits and - _ .");
    }
}

fn with_extension(fields: &[&'static str]) -> Vec<&'static str> {
    fields.iter().copied().chain([settings::NAME]).collect()
}

fn with_settings(policy: Policy, read: settings::Read, report: &mut Report) -> Option<Policy> {
    let scripts = script_settings::assign(&read.scripts, &policy.schedules, report);
    if read.settings.retention.require_application_consistency {
        settings::check_provable(&policy, report);
    }
    Some(Policy { settings: Settings { scripts, ..read.settings }, ..policy })
}

fn names(json: &Json) -> Vec<&str> {
    let Json::Object(entries) = json else { return Vec::new() };
    entries.iter().map(|(name, _)| name.as_str()).collect()
}

fn read_policy(policy_id: &str, policy: &Object<'_>, report: &mut Report) -> Option<Policy> {
    read_id(policy_id, policy, report);
    let description = policy.get("Description").and_then(|field| {
        let text = field.text_of(report, 0..=MAX_DESCRIPTION_CHARS)?;
        if !is_plain(text) {
            field.refuse(report, "letters, digits, spaces, _ and -");
        }
        Some(text.to_owned())
    });
    let states =
        [("ENABLED", State::Enabled), ("DISABLED", State::Disabled), ("ERROR", State::Error)];
    let state = policy.get("State").and_then(|field| field.one_of(report, &states));
    let status_message = policy
        .get("StatusMessage")
        .and_then(|field| field.text_of(report, 0..=MAX_STATUS_MESSAGE_CHARS));
    for name in ["ExecutionRoleArn", "PolicyArn", "DateCreated", "DateModified"] {
        // DLM's own; nothing here runs under that role, so only the shape is looked at.
        if let Some(field) = policy.get(name) {
            field.text_of(report, 0..=MAX_ARN_CHARS);
        }
    }
    if let Some(field) = policy.get("Tags")
        && let Some(tags) = field.object(report, &names(field.json))
    {
        for tag in tags.each() {
            tag.text(report);
        }
    }
    let is_default = policy.get("DefaultPolicy");
    let is_default = is_default.and_then(|field| Some((field.boolean(report)?, field)));
    let details = policy.need(report, "PolicyDetails", "an object")?;
    let details = details.object(report, &details::FIELDS)?;
    let details = details::read(&details, report)?;
    if let Some((said, field)) = is_default
        && said != details.default_policy.is_some()
    {
        field.refuse(report, "what PolicyDetails.PolicyLanguage says: true with SIMPLIFIED only");
    }
    Some(Policy {
        id: policy_id.into(),
        state: state.unwrap_or(State::Enabled),
        status_message: status_message.filter(|text| !text.is_empty()).map(str::to_owned),
        description,
        ..details
    })
}

fn read_id(policy_id: &str, policy: &Object<'_>, report: &mut Report) {
    let Some(field) = policy.get("PolicyId") else { return };
    let Some(text) = field.text(report) else { return };
    if policy_id == INLINE_POLICY_ID {
        return;
    }
    if text != policy_id {
        field.refuse(report, format!("{policy_id}, the id it is stored under"));
    }
}

/// The characters that DLM takes in descriptions and names.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-'))
}
