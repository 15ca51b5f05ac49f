//! Which of an instance's volumes are in the snapshot set.

use super::run::{LeftOutVolume, PlannedVolume};
use super::{Attached, Instance, targets};
use crate::policy::Policy;

/// CreateSnapshots makes at most this many snapshots at once, the boot volume's among them.
const MAX_SET_VOLUMES: usize = 128;
/// CreateSnapshots takes at most this many ExcludeDataVolumeIds.
const MAX_EXCLUDED_DATA_VOLUMES: usize = 40;

/// The volumes of the set and the others, or why there can be no set.
pub(super) fn choose(
    policy: &Policy,
    instance: &Instance,
) -> Result<(Vec<PlannedVolume>, Vec<LeftOutVolume>), String> {
    if instance.volumes.is_empty() {
        return Err("no EBS volume is attached to it".into());
    }
    let mut planned = Vec::new();
    let mut left_out = Vec::new();
    for volume in &instance.volumes {
        let (volume_id, device) = (volume.volume_id.clone(), volume.device.clone());
        let boot = is_boot(instance, volume);
        match why_left_out(policy, volume, boot) {
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

fn why_left_out(policy: &Policy, volume: &Attached, boot: bool) -> Option<String> {
    if boot {
        // ExcludeDataVolumeTags never reaches the boot volume, whatever its tags.
        return policy.exclude_boot_volume.then(|| "boot volume (ExcludeBootVolume)".into());
    }
    let tag = targets::matching(&volume.tags, &policy.exclude_data_volume_tags)?;
    Some(format!("tag {}={} (ExcludeDataVolumeTags)", tag.key, tag.value))
}
