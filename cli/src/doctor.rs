//! `stillpoint doctor`: what keeps the next run from being a good one, before it fails. It reads,
//! and with `--probe` asks the agents for a dry-run; it changes nothing.

mod account;
mod agents;
mod answer;
mod clock;
mod documents;
mod finding;
mod grants;
mod load;
mod policies;
mod quotas;
mod roles;

use clap::Args;
use serde_json::json;

use crate::{Context, Exit, Failure, Out, Table};
use finding::{Finding, Level};

/// Looks for what would spoil the next run: exit 1 if it finds something.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Only this deployed policy; may be repeated.
    #[arg(long, value_name = "ID")]
    policy: Vec<String>,
    /// Also ask the agent on each target what it would freeze: sends a dry-run by Systems Manager,
    /// which changes nothing.
    #[arg(long)]
    probe: bool,
}

pub(crate) async fn go(doctor: Doctor, context: &Context) -> Result<Exit, Failure> {
    let cloud = context.cloud().await?;
    let account::Account { mut findings, is_deployed, ahead_ms } = account::examine(&cloud).await?;
    if is_deployed {
        findings.extend(grants::examine(&cloud).await);
        // Who may not read the ledger is told by the grants.
        findings.extend(roles::examine(&cloud, &doctor.policy).await.unwrap_or_default());
    }
    let deployed = match cloud.policies().await {
        Ok(deployed) => deployed,
        Err(fault) if grants::is_denied(&fault) => return done(&findings, context),
        Err(fault) => return Err(fault.into()),
    };
    if let Some(id) = doctor.policy.iter().find(|id| !deployed.contains_key(*id)) {
        return Err(Failure::bad_input(
            "--policy",
            id,
            &format!(
                "a deployed policy: {}",
                deployed.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        ));
    }
    if deployed.is_empty() {
        let remedy =
            "make policy FILE=nightly.json, or stillpoint policy import to take one over from DLM";
        findings.push(Finding::warn("policies", "none is deployed: nothing is scheduled", remedy));
    }
    let wanted = |id: &&String| doctor.policy.is_empty() || doctor.policy.contains(id);
    let (mut orders, mut load) = (vec![], load::Load::default());
    for (id, json) in deployed.iter().filter(|(id, _)| wanted(id)) {
        let examined = policies::examine(&cloud, id, json).await;
        findings.extend(examined.findings);
        orders.extend(examined.orders);
        load.add(examined.load);
    }
    // Who may not see snapshots is told by the grants.
    let unfinished = cloud.unfinished(&load.volumes()).await.ok();
    findings.extend(quotas::judge(&load, unfinished.as_ref()));
    if doctor.probe {
        findings.extend(agents::examine(&cloud, &orders, ahead_ms, &context.out).await);
    } else if !orders.is_empty() {
        let text = "not asked: --probe sends each a dry-run, which changes nothing";
        findings.push(Finding::note("agents", text));
    }
    done(&findings, context)
}

fn done(findings: &[Finding], context: &Context) -> Result<Exit, Failure> {
    show(findings, &context.out)?;
    let bad = findings.iter().any(|one| one.level == Level::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

fn show(findings: &[Finding], out: &Out) -> Result<(), Failure> {
    if out.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| {
                json!({"level": one.level.name(), "subject": one.subject, "text": one.text,
                       "remedy": one.remedy})
            })
            .collect();
        return out.print_json(&json!({ "findings": all }));
    }
    let mut table = Table::indented(0);
    for one in findings {
        let level = match one.level {
            Level::Good => out.paint.good("ok"),
            Level::Note => out.paint.dim("note"),
            Level::Warn => out.paint.warn("warn"),
            Level::Bad => out.paint.bad("bad"),
        };
        table.row([level, one.subject.clone(), one.text.clone()]);
        if !one.remedy.is_empty() {
            table.row([String::new(), String::new(), out.paint.dim(&format!("-> {}", one.remedy))]);
        }
    }
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    let (bad, warn) = (count(Level::Bad), count(Level::Warn));
    out.print(&format!("{}\n{bad} bad, {warn} to look at\n", table.render(out.width)))
}
