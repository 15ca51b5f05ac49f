//! The script of a run, and whether it is known beforehand that it cannot run there.

use super::run::PlannedScript;
use super::{Instance, Managed, Platform};
use crate::policy::Schedule;

pub(super) fn choose(
    schedule: &Schedule,
    instance: &Instance,
    running: bool,
    warnings: &mut Vec<String>,
) -> Option<PlannedScript> {
    let script = schedule.script.as_ref()?;
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
        pre: script.pre,
        post: script.post,
        timeout_secs: script.timeout_secs,
        retries: script.retries,
        fallback: script.fallback,
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
