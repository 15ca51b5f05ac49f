//! The script of a run, and whether it is known beforehand that it cannot run there.

use super::run::PlannedScript;
use super::{Instance, Managed, Platform};
use crate::coincide::SetRules;
use crate::policy::{Handler, Policy};

/// The agent's option of that name, which documents of ours have as a parameter.
const DEADLINE: &str = "deadline";

/// Installs the VSS components and then does what the policy's document does.
const INSTALLING_DOCUMENT: &str = "AWSEC2-VssInstallAndSnapshot";
/// AWS's page on VSS: these have too little memory for it.
const NOT_FOR_VSS: [&str; 6] =
    ["t2.nano", "t2.micro", "t3.nano", "t3.micro", "t3a.nano", "t3a.micro"];

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
    let vss = script.handler == Handler::Vss;
    let skip =
        why_skipped(instance, running).or_else(|| if vss { why_no_vss(instance) } else { None });
    if skip.is_none() && !vss && instance.platform == Platform::Windows {
        // A step whose precondition does not match is skipped, and the command is a success.
        warnings.push(format!(
            "{}: runs Windows; a step of {} that is for Linux is skipped there, and Systems \
             Manager still reports success",
            instance.id, script.document
        ));
    }
    let install = vss && settings.is_some_and(|settings| settings.vss_install);
    Some(PlannedScript {
        document: if install { INSTALLING_DOCUMENT.into() } else { script.document.clone() },
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

fn why_no_vss(instance: &Instance) -> Option<String> {
    if instance.platform != Platform::Windows {
        return Some("AWS_VSS_BACKUP is for Windows, and the instance does not run it".into());
    }
    NOT_FOR_VSS.contains(&instance.instance_type.as_str()).then(|| {
        format!("AWS does not support VSS on instances of type {}", instance.instance_type)
    })
}
