//! The script of a run, and whether it is known beforehand that it cannot run there.

use super::run::PlannedScript;
use super::{Instance, Managed, Platform};
use crate::coincide::SetRules;
use crate::policy::Policy;

/// The agent's option of that name, which documents of ours have as a parameter.
const DEADLINE: &str = "deadline";

pub(super) fn choose(
    policy: &Policy,
    rules: &SetRules,
    instance: &Instance,
    running: bool,
    warnings: &mut Vec<String>,
) -> Option<PlannedScript> {
    let script = rules.script.as_ref()?;
    let settings =
        rules.script_schedule.as_ref().and_then(|name| policy.settings.scripts.get(name));
    let mut parameters = settings.map(|settings| settings.parameters.clone()).unwrap_or_default();
    if let Some(deadline) = settings.and_then(|settings| settings.deadline_secs) {
        parameters.insert(DEADLINE.into(), vec![format!("{deadline}s")]);
    }
    let timeout_secs = settings.and_then(|settings| settings.timeout_secs);
    let skip = why_skipped(instance, running);
    if skip.is_none() && instance.platform == Platform::Windows {
        // A step whose precondition does not match is skipped, and the command is a success.
        warnings.push(format!(
            "{}: runs Windows; a step of {} that is for Linux is skipped there, and Systems \
             Manager still reports success",
            instance.id, script.document
        ));
    }
    Some(PlannedScript {
        document: script.document.clone(),
        handler: script.handler,
        parameters,
        pre: script.pre,
        post: script.post,
        timeout_secs: timeout_secs.unwrap_or(script.timeout_secs),
        retries: script.retries,
        // A crash-consistent set is not what a policy asks for that requires more.
        fallback: script.fallback && !policy.settings.retention.require_application_consistency,
        skip,
    })
}

fn why_skipped(instance: &Instance, running: bool) -> Option<String> {
    if !running {
        return Some(format!("the instance is {}, so no script can run on it", instance.state));
    }
    match &instance.managed {
        Managed::Online { .. } => None,
        Managed::Lost { ping_status } => Some(format!(
            "Systems Manager has lost the instance's agent (ping status {ping_status})"
        )),
        Managed::NotManaged => Some("the instance is not managed by Systems Manager".into()),
    }
}
