//! What to do about a code: its page of docs/codes, with the run's own ids in the commands.

use stillpoint_run::{Run, StageReport, StageResult};

use crate::Out;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a code from its state on: what happened is in the run's own words already.
pub(crate) fn advice(code: &str, run: &Run, out: &Out) -> String {
    let Some((_, page)) = PAGES.iter().find(|(name, _)| *name == code) else {
        return String::new();
    };
    let title = page.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    let mut text = format!("{}\n", out.paint.bold(title));
    let body = page.find("**State.**").map_or("", |at| &page[at..]);
    let mut code_block = false;
    for line in body.lines() {
        if line.starts_with("```") {
            code_block = !code_block;
        } else if code_block {
            text += &format!("    {}\n", with_ids(line, run));
        } else {
            text += &format!("  {}\n", emphasised(line, out));
        }
    }
    text += &format!("  {}\n", out.paint.dim(&format!("all of it: docs/codes/{code}.md")));
    text
}

/// The variables of the pages, which docs/codes/README.md explains.
fn with_ids(line: &str, run: &Run) -> String {
    let order = &run.order;
    if line.trim() == "again" {
        return format!("stillpoint run {} --instance {}", order.policy_id, order.instance_id);
    }
    let mut line = line
        .replace("$RUN", &order.run_id)
        .replace("$INSTANCE", &order.instance_id)
        .replace("$POLICY", &order.policy_id);
    if let Some(command_id) = failed_stage(run).and_then(|stage| stage.command_id.as_ref()) {
        line = line.replace("$COMMAND", command_id);
    }
    line
}

/// The command that one would ask about.
fn failed_stage(run: &Run) -> Option<&StageReport> {
    let pre_failed = run.pre.as_ref().filter(|pre| pre.result != StageResult::Ok);
    let vss = run.vss.as_ref().and_then(|vss| vss.report.as_ref());
    vss.or(pre_failed).or(run.post.as_ref()).or(run.pre.as_ref())
}

/// Markdown's bold words, bold.
fn emphasised(line: &str, out: &Out) -> String {
    let line = line.replace("[README](README.md)", "docs/codes/README.md");
    let parts = line.split("**").enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { out.paint.bold(part) } else { part.to_owned() }).collect()
}
