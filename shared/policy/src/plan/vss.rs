//! Whether AWS's VSS documents can work on an instance, as far as it is known beforehand.
//!
//! The limits are those of AWS's pages on VSS snapshots and of DLM's on AWS_VSS_BACKUP.

use super::{Components, Instance, Managed, Platform};

/// The document that installs the components first.
pub(super) const INSTALLING_DOCUMENT: &str = "AWSEC2-VssInstallAndSnapshot";
/// DLM names these for VSS; snapshots may come out without any tag there.
const SMALL_FAMILIES: [&str; 3] = ["t2", "t3", "t3a"];
const SMALL_SIZES: [&str; 2] = ["nano", "micro"];
const SSM_AGENT: [u32; 3] = [3, 0, 502];
/// The managed policy that instances get lets these, and no older ones, create snapshots.
const COMPONENTS: [u32; 3] = [2, 3, 1];

/// Why VSS cannot work there.
pub(super) fn why_not(instance: &Instance) -> Option<String> {
    if instance.platform != Platform::Windows {
        return Some("AWS_VSS_BACKUP is for Windows, and the instance does not run it".into());
    }
    let kind = &instance.instance_type;
    let (family, size) = kind.split_once('.').unwrap_or_default();
    if SMALL_FAMILIES.contains(&family) && SMALL_SIZES.contains(&size) {
        return Some(format!("AWS does not support VSS on instances of type {kind}"));
    }
    match &instance.managed {
        Managed::Online { agent_version } if older(agent_version, SSM_AGENT) => Some(format!(
            "AWS's VSS document needs SSM Agent 3.0.502.0, and the instance has {agent_version}"
        )),
        Managed::Online { .. } | Managed::Lost { .. } | Managed::NotManaged => None,
    }
}

/// What is likely to fail. An inventory may be hours old, so the document itself has the word.
pub(super) fn warning(instance: &Instance) -> Option<String> {
    let words = match &instance.vss_components {
        Components::Missing => "Systems Manager's inventory shows no AwsVssComponents".to_owned(),
        Components::Installed(version) if older(version, COMPONENTS) => format!(
            "AwsVssComponents {version} is older than 2.3.1, which AWSEC2VssSnapshotPolicy needs"
        ),
        Components::Installed(_) | Components::Unknown => return None,
    };
    Some(format!("{}: {words}; the VSS document will likely fail there", instance.id))
}

/// Whether a version is below a limit. One that cannot be read is not.
fn older(version: &str, limit: [u32; 3]) -> bool {
    let mut parts = [0; 3];
    for (part, text) in parts.iter_mut().zip(version.split('.')) {
        let Ok(number) = text.parse() else { return false };
        *part = number;
    }
    parts < limit
}
