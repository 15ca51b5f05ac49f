//! Which of an instance's volumes are in the snapshot set.

use super::run::{LeftOutVolume, PlannedVolume};
use super::{Attached, Instance, targets};
use crate::coincide::SetRules;
use crate::policy::{Handler, Policy, Tag};

/// CreateSnapshots makes at most this many snapshots at once, the boot volume's among them.
const MAX_SET_VOLUMES: usize = 128;
/// CreateSnapshots takes at most this many ExcludeDataVolumeIds.
const MAX_EXCLUDED_DATA_VOLUMES: usize = 40;

/// The volumes of the set and the others, or why there can be no set.
pub(super) fn choose(
    policy: &Policy,
    rules: &SetRules,
    instance: &Instance,
) -> Result<(Vec<PlannedVolume>, Vec<LeftOutVolume>), String> {
    if instance.volumes.is_empty() {
        return Err("no EBS volume is attached to it".into());
    }
    let vss_tags = vss_tags(policy, rules);
    let mut planned = Vec::new();
    let mut left_out = Vec::new();
    for volume in &instance.volumes {
        let (volume_id, device) = (volume.volume_id.clone(), volume.device.clone());
        let boot = is_boot(instance, volume);
        match why_left_out(policy, vss_tags, volume, boot) {
            Some(reason) => left_out.push(LeftOutVolume { volume_id, device, reason }),
            None => {
                let size_gib = volume.size_gib;
                planned.push(PlannedVolume { volume_id, device, boot, size_gib });
            }
        }
    }
    if planned.is_empty() {
        return Err(
            "every volume is left out by ExcludeBootVolume and ExcludeDataVolumeTags".into()
        );
    }
    if planned.len() > MAX_SET_VOLUMES {
        return Err(format!(
            "{} volumes are in the set; CreateSnapshots takes at most {MAX_SET_VOLUMES}",
            planned.len()
        ));
    }
    let excluded = data_volume_ids(instance, &left_out).len();
    if excluded > MAX_EXCLUDED_DATA_VOLUMES {
        return Err(format!(
            "{excluded} data volumes are left out by ExcludeDataVolumeTags; CreateSnapshots takes \
             at most {MAX_EXCLUDED_DATA_VOLUMES}"
        ));
    }
    Ok((planned, left_out))
}

pub(super) fn is_boot(instance: &Instance, volume: &Attached) -> bool {
    volume.device == instance.root_device
}

/// The data volumes among those left out. The boot volume's id must not be among them: it has a
/// parameter of its own, and CreateSnapshots refuses it here.
pub(super) fn data_volume_ids(instance: &Instance, left_out: &[LeftOutVolume]) -> Vec<String> {
    let data = left_out.iter().filter(|volume| volume.device != instance.root_device);
    data.map(|volume| volume.volume_id.clone()).collect()
}

/// DLM has no ExcludeDataVolumeTags under VSS; the Stillpoint object has.
fn vss_tags<'a>(policy: &'a Policy, rules: &SetRules) -> &'a [Tag] {
    let vss = rules.script.as_ref().is_some_and(|script| script.handler == Handler::Vss);
    let name = rules.script_schedule.as_ref().filter(|_| vss);
    let settings = name.and_then(|name| policy.settings.scripts.get(name));
    settings.map_or(&[], |settings| &settings.vss_exclude_data_volume_tags)
}

fn why_left_out(
    policy: &Policy,
    vss_tags: &[Tag],
    volume: &Attached,
    boot: bool,
) -> Option<String> {
    if boot {
        // ExcludeDataVolumeTags never reaches the boot volume, whatever its tags.
        return policy.exclude_boot_volume.then(|| "boot volume (ExcludeBootVolume)".into());
    }
    if let Some(tag) = targets::matching(&volume.tags, &policy.exclude_data_volume_tags) {
        return Some(format!("tag {}={} (ExcludeDataVolumeTags)", tag.key, tag.value));
    }
    let tag = targets::matching(&volume.tags, vss_tags)?;
    Some(format!("tag {}={} (VssExcludeDataVolumeTags)", tag.key, tag.value))
}
