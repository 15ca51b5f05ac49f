//! `stillpoint policy check FILE`: exit 0, or 2 with a line for each thing that is wrong.

use clap::Args;
use serde_json::json;
use stillpoint_policy::{INLINE_POLICY_ID, Policy, parse};

use super::read_file;
use crate::{Context, Exit, Failure, Table};

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// DLM's PolicyDetails, or all that `aws dlm get-lifecycle-policy` prints; `-` is standard
    /// input.
    file: String,
}

pub(crate) fn go(check: &Check, context: &Context) -> Result<Exit, Failure> {
    let text = read_file(&check.file)?;
    match parse(INLINE_POLICY_ID, &text) {
        Ok(policy) => {
            if context.out.json {
                context.out.print_json(&json!({ "valid": true, "errors": [] }))?;
            } else {
                context.out.print(&summary(&check.file, &policy, context))?;
            }
            Ok(Exit::Done)
        }
        Err(errors) if context.out.json => {
            let errors: Vec<_> = errors
                .iter()
                .map(|one| json!({"path": one.path, "found": one.found, "allowed": one.allowed}))
                .collect();
            context.out.print_json(&json!({ "valid": false, "errors": errors }))?;
            Ok(Exit::BadInput)
        }
        Err(errors) => Err(Failure::BadInput(errors.iter().map(ToString::to_string).collect())),
    }
}

/// What was understood, so that a policy that is valid but not meant so shows.
fn summary(file: &str, policy: &Policy, context: &Context) -> String {
    let out = &context.out;
    let tags: Vec<String> =
        policy.target_tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    let mut table = Table::indented(2);
    table.row(["targets".to_owned(), format!("instances tagged {}", tags.join(" or "))]);
    for schedule in &policy.schedules {
        let script = schedule.script.as_ref().map_or("no script", |script| &script.document);
        let fires = schedule.create_rule.cron().text();
        table.row([
            "schedule".to_owned(),
            format!("{}: {fires} UTC, {script}", out.paint.bold(&schedule.name)),
        ]);
    }
    format!("{file}: {}\n{}", out.paint.good("valid"), table.render(out.width))
}
