//! The script of a run, and whether it is known beforehand that it cannot run there.

use super::run::{PlannedScript, PlannedVolume};
use super::{Instance, Managed, Platform, vss};
use crate::coincide::SetRules;
use crate::policy::{Handler, Policy};

/// The agent's option of that name, which documents of ours have as a parameter.
const DEADLINE: &str = "deadline";
/// Documents whose name begins like this run our agent.
const OUR_DOCUMENTS: &str = "Stillpoint-";

pub(super) fn choose(
    policy: &Policy,
    rules: &SetRules,
    instance: &Instance,
    running: bool,
    planned: &[PlannedVolume],
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
    let vss = script.handler == Handler::Vss;
    let install = vss && settings.is_some_and(|settings| settings.vss_install);
    let document = if install { vss::INSTALLING_DOCUMENT } else { &script.document };
    let skip = why_skipped(instance, running)
        .or_else(|| if vss { vss::why_not(instance) } else { None })
        .or_else(|| nothing_to_freeze(document, planned));
    if skip.is_none() && vss && !install {
        warnings.extend(vss::warning(instance));
    }
    if skip.is_none() && !vss && instance.platform == Platform::Windows {
        // A step whose precondition does not match is skipped, and the command is a success.
        warnings.push(format!(
            "{}: runs Windows; a step of {} that is for Linux is skipped there, and Systems \
             Manager still reports success",
            instance.id, script.document
        ));
    }
    Some(PlannedScript {
        document: document.to_owned(),
        handler: script.handler,
        parameters,
        // One VSS document is both, and makes the set in between.
        pre: script.pre && !vss,
        post: script.post && !vss,
        timeout_secs: timeout_secs.unwrap_or(script.timeout_secs),
        retries: script.retries,
        // A crash-consistent set is not what a policy asks for that requires more.
        fallback: script.fallback && !policy.settings.retention.require_application_consistency,
        skip,
    })
}

/// The agent never freezes the filesystem that the instance itself runs from, and without a
/// volume that it may freeze it would take all the others.
fn nothing_to_freeze(document: &str, planned: &[PlannedVolume]) -> Option<String> {
    let name = document.rsplit('/').next().unwrap_or(document);
    let bare = planned.iter().all(|volume| volume.boot);
    (name.starts_with(OUR_DOCUMENTS) && bare).then(|| {
        "the set has only the boot volume, whose filesystem the agent never freezes".into()
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
