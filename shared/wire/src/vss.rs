//! What goes into AWS's VSS documents and what comes out of them.
//!
//! The documents are `AWSEC2-CreateVssSnapshot` and `AWSEC2-VssInstallAndSnapshot`: parameters,
//! the character set of their tags, the result on the last line of stdout and the error codes
//! are those of the documents' bodies and of AWS's page on them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stillpoint_run::{Order, Proof, SnapshotTaken};

use crate::tags;

/// The document for instances that have the VSS components.
pub const DOCUMENT: &str = "AWSEC2-CreateVssSnapshot";
/// The document that installs the components first. It has three steps.
pub const INSTALLING_DOCUMENT: &str = "AWSEC2-VssInstallAndSnapshot";
/// The step of [`INSTALLING_DOCUMENT`] whose output is the result.
pub const INSTALLING_STEP: &str = "CreateVssSnapshot";
/// The tag that the document writes to a snapshot once it knows whether the freeze covered it.
pub const APP_CONSISTENT: &str = "AppConsistent";

/// Keys that the document writes itself; it refuses them among its tags.
const RESERVED_KEYS: [&str; 3] = [APP_CONSISTENT, "Device", "AwsVssConfig"];
/// What a tag may consist of beside letters and digits; `,` and `;` separate.
const TAG_CHARS: &str = "() ./\\-\"'@_+:={}";
const DESCRIPTION_CHARS_MAX: usize = 255;

/// The step whose output is the result, for a document of several.
#[must_use]
pub fn step(document: &str) -> Option<&'static str> {
    (document == INSTALLING_DOCUMENT).then_some(INSTALLING_STEP)
}

/// The description of every snapshot of the run; with the run's tag it is how they are found.
#[must_use]
pub fn description(order: &Order) -> String {
    let text = format!("stillpoint {} {}", order.policy_id, order.run_id);
    text.chars().take(DESCRIPTION_CHARS_MAX).collect()
}

/// The document's parameters: the policy's own, then ours, which win.
#[must_use]
pub fn parameters(order: &Order, timeout_secs: u32) -> BTreeMap<String, Vec<String>> {
    let script = order.script.as_ref();
    let mut all = script.map(|script| script.parameters.clone()).unwrap_or_default();
    let boolean = |value| if value { "True" } else { "False" }.to_owned();
    for (name, value) in [
        ("ExcludeBootVolume", boolean(order.exclude_boot_volume)),
        ("description", description(order)),
        ("tags", tags_parameter(order)),
        ("executionTimeout", timeout_secs.to_string()),
    ] {
        all.insert(name.to_owned(), vec![value]);
    }
    all
}

/// The tags that fit the document: ours first, since a set is found by them. What does not
/// fit is added with the verdict.
fn tags_parameter(order: &Order) -> String {
    let tags = tags::at_creation(order);
    let fits =
        |text: &str| text.chars().all(|one| one.is_ascii_alphanumeric() || TAG_CHARS.contains(one));
    // A value with "=" would be cut where the document splits at it.
    let plain = |text: &str| fits(text) && !text.contains('=');
    let mut pairs: Vec<_> = tags
        .iter()
        .filter(|(key, value)| plain(key) && plain(value) && !value.is_empty())
        .filter(|(key, _)| !RESERVED_KEYS.contains(&key.as_str()))
        .collect();
    pairs.sort_by_key(|(key, _)| !key.starts_with("stillpoint:"));
    let pairs = pairs.iter().map(|(key, value)| format!("Key={key},Value={value}"));
    pairs.collect::<Vec<_>>().join(";")
}

/// What the tags of a snapshot say; none if the document has not marked it.
#[must_use]
pub fn app_consistent(tags: &BTreeMap<String, String>) -> Option<bool> {
    // Written as `True`, documented as `true`.
    tags.get(APP_CONSISTENT).map(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// Finds the result in the document's output: the last line that is one.
///
/// # Errors
/// A line that claims to be a result and cannot be read.
pub fn result(stdout: &str) -> Result<Option<Proof>, String> {
    let claims = |line: &&str| line.starts_with('{') && line.contains("\"Error\"");
    let Some(line) = stdout.lines().rev().map(str::trim).find(claims) else { return Ok(None) };
    let result: Written = serde_json::from_str(line)
        .map_err(|error| format!("the document's result cannot be read: {error}"))?;
    let error = number(&result.error)
        .ok_or_else(|| format!("the result's Error: found {}, allowed a number", result.error))?;
    let one = |value| serde_json::from_value::<WrittenSnapshot>(value).ok();
    let snapshots = match result.snapshots {
        Value::Array(all) => all.into_iter().filter_map(one).collect(),
        // PowerShell writes a list of one as the one.
        single @ Value::Object(_) => one(single).into_iter().collect::<Vec<_>>(),
        _ => vec![],
    };
    Ok(Some(Proof::Vss {
        error,
        set_id: result.set_id.as_str().unwrap_or_default().to_owned(),
        frozen_ms: number(&result.frozen_ms).and_then(|ms| u64::try_from(ms).ok()),
        snapshots: snapshots
            .into_iter()
            .filter(|one| !one.snapshot_id.is_empty())
            .map(|one| SnapshotTaken {
                snapshot_id: one.snapshot_id,
                volume_id: one.volume_id,
                app_consistent: None,
            })
            .collect(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    error: Value,
    #[serde(default, rename = "VssSnapshotSetId")]
    set_id: Value,
    #[serde(default, rename = "FreezeTimeInMS")]
    frozen_ms: Value,
    #[serde(default)]
    snapshots: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WrittenSnapshot {
    snapshot_id: String,
    #[serde(rename = "EbsVolumeId")]
    volume_id: String,
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(rounded)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a freeze of so many ms does not exist")]
fn rounded(value: f64) -> i64 {
    value.round() as i64
}

/// What an error code of the documents means, in words that never change.
#[must_use]
pub fn meaning(error: i64) -> &'static str {
    match error {
        0 => "consistent and tagged",
        1..=9 => "the snapshots could not be tagged",
        10..=19 => "more than 9 s between freeze and thaw",
        20..=29 => "the thaw pipe did not connect",
        30..=39 => "the thaw pipe could not be read",
        40..=49 => "an unexpected message on the thaw pipe",
        50..=59 => "the VSS provider timed out",
        60..=69 => "a snapshot of the image began after the thaw",
        70..=99 => "the snapshots are not consistent",
        1001 => "CreateAmi and ExcludeBootVolume exclude each other",
        1002 => "AWS Tools for PowerShell are missing or too old",
        1003 => "the VSS components (AwsVssComponents) are not installed",
        1004 => "the instance could not find its own id",
        1005 => "the version of Windows is not supported",
        1006 => "no EBS volume is mounted",
        1007 => "the tags could not be read",
        1009 => "a Windows volume spans the boot disk, which is excluded",
        1010 => "SaveVssMetadata needs VSS components 2.4.0 or newer",
        1011 => "SaveVssMetadata and NoWriters exclude each other",
        2001 => "the freeze pipe could not be created",
        2002 => "the thaw pipe could not be created",
        2003 => "another VSS snapshot is under way on the instance",
        2004 => "the VSS requester did not start",
        2005 => "the freeze timed out",
        2006..=2010 => "the VSS requester's pipe broke or spoke something else",
        2011 => "the VSS requester ended early",
        2012 => "the freeze pipe timed out",
        2105 => "the VSS provider timed out",
        2101..=2104 => "the VSS provider has no usable results",
        3001 => "DescribeInstances failed",
        3002 => "DescribeInstanceAttribute failed",
        3003 => "the instance's role may not call DescribeInstanceAttribute",
        3011 => "CreateImage failed",
        3021 => "DescribeImages failed",
        3022 => "the image has no snapshots",
        3031 => "CreateSnapshots failed: see the rights of the instance's role",
        3041 => "DescribeSnapshots failed",
        4000 => "the document met an error that it does not know",
        4001..=4005 => "the document's script failed",
        5001 => "the VSS provider failed: see the rights of the instance's role",
        6001..=6006 => "the diagnostic logs could not be collected",
        7004 => "saving the VSS metadata timed out",
        7001..=7005 => "the VSS metadata could not be saved",
        _ => "a code that the documents do not list",
    }
}
