//! `stillpoint policy import`: a policy that DLM runs becomes one of ours, unchanged.

use std::process::Command;

use clap::Args;
use serde_json::Value;
use stillpoint_policy::{INLINE_POLICY_ID, parse};

use super::read_file;
use crate::{Context, Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// DLM's policy id, which is asked for with the AWS CLI; or a file with what
    /// `aws dlm get-lifecycle-policy` printed; `-` is standard input.
    #[arg(value_name = "POLICY-ID|FILE")]
    from: String,
    /// Write the document here; the file's name becomes the policy's id. Else to standard output.
    #[arg(long, value_name = "FILE.json")]
    to: Option<String>,
}

pub(crate) fn go(import: &Import, context: &Context) -> Result<Exit, Failure> {
    let text = if is_policy_id(&import.from) {
        ask_dlm(&import.from, context)?
    } else {
        read_file(&import.from)?
    };
    // Refused as it would be at its first firing, before anybody relies on it.
    parse(INLINE_POLICY_ID, &text)
        .map_err(|errors| Failure::BadInput(errors.iter().map(ToString::to_string).collect()))?;
    let whole: Value = serde_json::from_str(&text).map_err(Failure::failed)?;
    let details = details(&whole);
    let written = serde_json::to_string_pretty(details).map_err(Failure::failed)? + "\n";
    let Some(path) = &import.to else {
        context.out.print(&written)?;
        return Ok(Exit::Done);
    };
    // Never over a file that is there: it may have been edited since.
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, written.as_bytes()))
        .map_err(|error| Failure::bad_input("--to", format!("{path}: {error}"), "a new file"))?;
    context.out.print(&format!(
        "{path}\n\nNothing is deployed yet, and DLM goes on. To take over:\n\n  \
         stillpoint plan --policy {path}\n  make policy FILE={path}\n  \
         aws dlm update-lifecycle-policy --policy-id {} --state DISABLED\n\n\
         DLM keeps the snapshots that it made, and deletes none of them while it is disabled.\n",
        dlm_id(&whole).unwrap_or("POLICY-ID")
    ))?;
    Ok(Exit::Done)
}

/// DLM's ids are `policy-` and hexadecimal digits; a file of that name wins.
fn is_policy_id(text: &str) -> bool {
    let digits = text.strip_prefix("policy-").unwrap_or_default();
    !digits.is_empty()
        && digits.chars().all(|one| one.is_ascii_hexdigit())
        && !std::path::Path::new(text).exists()
}

/// One call to DLM is not worth another SDK crate in every function; whoever has a policy in DLM
/// has the AWS CLI.
fn ask_dlm(policy_id: &str, context: &Context) -> Result<String, Failure> {
    let mut command = Command::new("aws");
    command.args(["dlm", "get-lifecycle-policy", "--output", "json", "--policy-id", policy_id]);
    command.args(context.aws_options());
    let done = command.output().map_err(|error| {
        Failure::failed(format!(
            "the AWS CLI cannot be run ({error}); where it can: aws dlm get-lifecycle-policy \
             --policy-id {policy_id} > policy.json, then stillpoint policy import policy.json"
        ))
    })?;
    if !done.status.success() {
        return Err(Failure::failed(String::from_utf8_lossy(&done.stderr).trim()));
    }
    String::from_utf8(done.stdout).map_err(Failure::failed)
}

/// What Parameter Store gets: PolicyDetails alone, without what only DLM needs.
fn details(whole: &Value) -> &Value {
    let policy = whole.get("Policy").unwrap_or(whole);
    policy.get("PolicyDetails").unwrap_or(policy)
}

fn dlm_id(whole: &Value) -> Option<&str> {
    whole.get("Policy")?.get("PolicyId")?.as_str()
}
