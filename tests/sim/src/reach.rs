//! What a simulation must have reached: every fact, and every branch of `decide`.

use std::sync::OnceLock;

use stillpoint_run::{Fact, Run, Seen};

/// The name of a fact.
#[must_use]
pub(crate) fn fact(fact: &Fact) -> &'static str {
    match fact {
        Fact::AttemptStarted { .. } => "AttemptStarted",
        Fact::NoScript(_) => "NoScript",
        Fact::Interrupted { over: false } => "Interrupted",
        Fact::Interrupted { over: true } => "InterruptedAndOver",
        Fact::CommandSent { .. } => "CommandSent",
        Fact::SendUncertain => "SendUncertain",
        Fact::VssEnded(..) => "VssEnded",
        Fact::PreEnded(..) => "PreEnded",
        Fact::SetCreated(..) => "SetCreated",
        Fact::CreateFailed(..) => "CreateFailed",
        Fact::CreatePostponed(_) => "CreatePostponed",
        Fact::CreateUncertain(..) => "CreateUncertain",
        Fact::PostEnded { again: false, .. } => "PostEnded",
        Fact::PostEnded { again: true, .. } => "PostEndedAgain",
        Fact::SetAdopted(_) => "SetAdopted",
        Fact::NoSetFound => "NoSetFound",
        Fact::FallbackChosen => "FallbackChosen",
        Fact::Judged(_) => "Judged",
        Fact::Finished => "Finished",
    }
}

fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Begin { .. } => "Begin".to_owned(),
        Seen::Script { end, .. } => format!("Script {:?}", end.report.result),
        Seen::Sent { .. } => "Sent".to_owned(),
        Seen::SendLost => "SendLost".to_owned(),
        Seen::Created(..) => "Created".to_owned(),
        Seen::CreateRefused { cause, .. } => format!("CreateRefused {:?}", cause.code),
        Seen::CreateLost { .. } => "CreateLost".to_owned(),
        Seen::Found { set: Some(_), .. } => "Found".to_owned(),
        Seen::Found { set: None, .. } => "Found none".to_owned(),
        Seen::Reported => "Reported".to_owned(),
    }
}

/// The branch that a run took: where it was, what it saw, what became true.
#[must_use]
pub(crate) fn branch(run: &Run, what: &Seen, facts: &[Fact]) -> String {
    let facts: Vec<&str> = facts.iter().map(fact).collect();
    let held = if run.thaw_owed.is_some() { " held" } else { "" };
    format!("branch: {:?}{held}, {} -> {}", run.phase, seen(what), facts.join(" "))
}

/// Everything that has to be reached.
#[must_use]
pub fn must_reach() -> &'static [&'static str] {
    static LINES: OnceLock<Vec<&str>> = OnceLock::new();
    LINES.get_or_init(|| include_str!("reach.txt").lines().collect())
}

/// Whether somebody has looked at it and listed it.
pub(crate) fn is_listed(what: &str) -> bool {
    must_reach().contains(&what)
}
