//! The tags that the policy wants on a set, within what a snapshot can carry.
//!
//! CreateSnapshots refuses the whole set when one snapshot would get too many tags, and it would
//! do so while the instance is frozen. So it is counted here, and what gives way is said.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Instance;
use super::run::PlannedVolume;
use crate::coincide::SetRules;
use crate::policy::{Handler, Variable};

/// EC2's limit for one resource; `aws:` tags do not count.
const MAX_TAGS: usize = 50;
/// The keys under `stillpoint:` that a snapshot may get in the course of its life.
const OUR_TAGS: usize = 18;
/// AppConsistent, Device, AwsVssConfig and Name, which the VSS document writes.
const VSS_TAGS: usize = 4;

#[derive(Debug)]
pub(super) struct SnapshotTags {
    pub(super) own: BTreeMap<String, String>,
    pub(super) copy: bool,
}

pub(super) fn choose(
    rules: &SetRules,
    time: Timestamp,
    instance: &Instance,
    planned: &[PlannedVolume],
    warnings: &mut Vec<String>,
) -> SnapshotTags {
    let vss = rules.script.as_ref().is_some_and(|script| script.handler == Handler::Vss);
    let free = MAX_TAGS - OUR_TAGS - if vss { VSS_TAGS } else { 0 };
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut dropped = Vec::new();
    let added = rules.tags_to_add.iter().map(|tag| (&tag.key, tag.value.clone()));
    let variable = rules.variable_tags.iter().map(|tag| {
        let value = match tag.variable {
            Variable::InstanceId => instance.id.clone(),
            Variable::Timestamp => time.to_string(),
        };
        (&tag.key, value)
    });
    for (key, value) in added.chain(variable) {
        if own.len() < free {
            own.insert(key.clone(), value);
        } else {
            dropped.push(key.as_str());
        }
    }
    if !dropped.is_empty() {
        warnings.push(format!(
            "{}: a snapshot has room for {free} tags of the policy; left out: {}",
            instance.id,
            dropped.join(", ")
        ));
    }
    let copy = rules.copy_tags && has_room(instance, planned, own.len(), free, warnings);
    SnapshotTags { own, copy }
}

/// Whether the volumes' tags fit beside the others. Counted as if no key were on both sides.
fn has_room(
    instance: &Instance,
    planned: &[PlannedVolume],
    own: usize,
    free: usize,
    warnings: &mut Vec<String>,
) -> bool {
    let in_set = |id: &str| planned.iter().any(|volume| volume.volume_id == id);
    let volumes = instance.volumes.iter().filter(|volume| in_set(&volume.volume_id));
    let users = |volume: &super::Attached| {
        volume.tags.keys().filter(|key| !key.starts_with("aws:")).count()
    };
    let most = volumes.map(users).max().unwrap_or(0);
    if own + most <= free {
        return true;
    }
    warnings.push(format!(
        "{}: CopyTags is left out: {most} tags of a volume and {own} of the policy are more than \
         the {free} a snapshot has room for",
        instance.id
    ));
    false
}
