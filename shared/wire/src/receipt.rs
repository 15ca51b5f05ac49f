//! The agent's receipt: one JSON line on stdout that says what a hold was.
//!
//! Written by `stillpoint-agent`, read by the runner. A document of somebody
//! else's prints no receipt; that is not an error here, it only means that
//! nothing was proven. This module judges nothing: `stillpoint_run::verdict` does.

use serde::{Deserialize, Serialize};

/// The only version of the receipt so far, in its `stillpoint` field.
pub const RECEIPT_VERSION: u32 = 1;

/// SSM keeps 2,500 characters of a plugin's output; the receipt stays well below.
pub const RECEIPT_CHARS_MAX: usize = 2_000;

/// What the agent says of one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The receipt's version, [`RECEIPT_VERSION`].
    pub stillpoint: u32,
    /// `pre-script`, `post-script`, `dry-run`, `status` or `thaw`.
    pub stage: String,
    /// The UUID that pre-script and post-script of one attempt share.
    #[serde(default)]
    pub execution_id: String,
    /// The exit code that goes with it.
    pub code: u8,
    /// What is true now.
    pub state: HoldState,
    /// Why, when it is not what was asked for; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The agent's version.
    #[serde(default)]
    pub agent: String,
    /// The boot that the times below belong to.
    #[serde(default)]
    pub boot_id: String,
    /// What the instance's clock shows, in ms since the epoch; only a dry-run says it, for whoever
    /// looks after clocks. Nothing is proven with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<u64>,
    /// The hold itself; absent when there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The filesystems that were frozen.
    #[serde(default)]
    pub frozen: Vec<Frozen>,
    /// What was left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The applications that were quiesced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<Application>,
}

/// The state that a receipt ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldState {
    /// Everything is frozen and acknowledged.
    Held,
    /// Everything was thawed by the post-script.
    Released,
    /// The deadline thawed everything before the post-script came.
    AutoThawed,
    /// Something else ended the hold: the holder died, a database restarted, somebody thawed.
    Broken,
    /// Nothing was touched: not ready for it.
    Refused,
    /// It was begun, failed, and was rolled back.
    Failed,
    /// There is nothing to thaw.
    NothingHeld,
    /// Another hold is in place.
    AlreadyHeld,
    /// A dry-run: what would be frozen.
    Planned,
}

/// The interval of a hold, in milliseconds of CLOCK_BOOTTIME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// True only when the holder itself proves that every filesystem and lock was
    /// held without a gap from the pre-script's acknowledgement until now.
    pub unbroken: bool,
    /// When the last filesystem was frozen.
    pub frozen_at_ms: u64,
    /// When the first one was thawed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at_ms: Option<u64>,
    /// The longest that writers of one filesystem were held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_ms: Option<u64>,
    /// After how long the hold would have ended by itself.
    pub deadline_ms: u64,
}

/// One filesystem of the hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// The first mount point that it was found at.
    pub mount: String,
    /// `ext4`, `xfs`, `btrfs`.
    pub fs: String,
    /// `major:minor` of the superblock.
    pub dev: String,
    /// The EBS volumes below it, as far as they could be told.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// One mount that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The mount point.
    pub mount: String,
    /// Why it was left alone.
    pub why: String,
}

/// One application of the hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// `postgresql`, ...
    pub name: String,
    /// The server's own version.
    #[serde(default)]
    pub version: String,
    /// `quiesced`, `released` or `lost`.
    pub state: String,
    /// Where a restore stands: LSN, binlog position, ...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub position: String,
}

/// Finds the receipt in a command's output: the last line that is one.
///
/// Returns `Ok(None)` when no line claims to be a receipt, as with a document that
/// is not ours.
///
/// # Errors
/// A line that claims to be a receipt (a JSON object with the `stillpoint` field)
/// but is not one of this version: what is wrong with it. Nothing is proven then.
pub fn find(output: &str) -> Result<Option<Receipt>, String> {
    let Some(line) = output.lines().rev().map(str::trim).find(|line| claims(line)) else {
        return Ok(None);
    };
    let receipt: Receipt = serde_json::from_str(line)
        .map_err(|error| format!("the receipt cannot be read: {error}"))?;
    if receipt.stillpoint != RECEIPT_VERSION {
        return Err(format!(
            "the receipt has version {}, this release reads version {RECEIPT_VERSION}",
            receipt.stillpoint
        ));
    }
    Ok(Some(receipt))
}

fn claims(line: &str) -> bool {
    line.starts_with('{') && line.contains("\"stillpoint\"")
}
