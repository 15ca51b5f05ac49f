//! EC2, with its refusals and with what IAM refuses in its name.

use std::collections::BTreeMap;

use stillpoint_restore::{InstanceSeen, Item, Job, Launch, VolumeSeen};
use stillpoint_upkeep::jobs::outside::{InstanceFacts, Machines};
use stillpoint_upkeep::outside::{
    Deletion, Discarded, Fault, FaultKind, Label, Shelf, Snapshot, Which,
};
use stillpoint_wire::tags;

use super::Cloud;
use super::state::{State, Tags, attached};
use crate::trouble::fault;

fn refused<T>(code: &str) -> Result<T, Fault> {
    Err(fault(FaultKind::Refused, code))
}

fn is_gone(instance: &InstanceSeen) -> bool {
    matches!(instance.state.as_str(), "terminated" | "shutting-down")
}

impl Machines for Cloud {
    async fn instance_seen(&self, instance_id: &str) -> Result<Option<InstanceFacts>, Fault> {
        self.call("instance_seen", |state| {
            let found = state.instances.get(instance_id);
            Ok(found.map(|one| InstanceFacts { seen: one.0.clone(), ..InstanceFacts::default() }))
        })
        .await
    }

    async fn volumes_seen(&self, ids: &[String]) -> Result<BTreeMap<String, VolumeSeen>, Fault> {
        self.call("volumes_seen", |state| {
            let one = |id: &String| Some((id.clone(), state.volumes.get(id)?.0.clone()));
            Ok(ids.iter().filter_map(one).collect())
        })
        .await
    }

    async fn launch_instance(&self, job: &Job, _: &Launch, tags: &Tags) -> Result<String, Fault> {
        self.call("launch_instance", |state| {
            assert!(is_marked(tags) && tags.contains_key(tags::JOB_ID), "IAM: {tags:?}");
            let id = "i-new".to_owned();
            if state.tokens.insert(job.order.id.clone(), id.clone()).is_none() {
                let mut places = BTreeMap::new();
                // The second is the image's own, and nothing of the set takes its place.
                for (device, volume) in [("/dev/sda1", "vol-image"), ("/dev/sdz", "vol-extra")] {
                    places.insert(device.to_owned(), volume.to_owned());
                    state.volumes.insert(volume.to_owned(), (attached(&id), tags.clone()));
                }
                let instance = InstanceSeen {
                    instance_id: id.clone(),
                    state: "pending".into(),
                    zone: "us-east-1c".into(),
                    root_device: "/dev/sda1".into(),
                    attached: places,
                };
                state.instances.insert(id.clone(), (instance, tags.clone()));
            }
            Ok(id)
        })
        .await
    }

    async fn create_volume(&self, job: &Job, item: &Item, tags: &Tags) -> Result<String, Fault> {
        self.call("create_volume", |state| {
            assert!(is_marked(tags) && tags.contains_key(tags::JOB_ID), "IAM: {tags:?}");
            let token = format!("{}{}", job.order.id, item.device);
            let made = format!("vol-new-{}", state.tokens.len());
            let again = state.tokens.get(&token).cloned();
            let id = state.tokens.entry(token).or_insert(made).clone();
            if again.is_none() {
                let seen = VolumeSeen { state: "creating".into(), ..VolumeSeen::default() };
                state.volumes.insert(id.clone(), (seen, tags.clone()));
            }
            Ok(id)
        })
        .await
    }

    async fn stop_instance(&self, id: &str) -> Result<(), Fault> {
        self.call("stop_instance", |state| transition(state, id, "running", "stopping")).await
    }

    async fn start_instance(&self, id: &str) -> Result<(), Fault> {
        self.call("start_instance", |state| {
            let (instance, _) = &state.instances[id];
            if !instance.attached.contains_key(&instance.root_device) {
                return refused("IncorrectState.NoRoot");
            }
            transition(state, id, "stopped", "pending")
        })
        .await
    }

    async fn attach_volume(&self, volume: &str, at: &str, device: &str) -> Result<(), Fault> {
        self.call("attach_volume", |state| {
            let (instance, _) = state.instances.get_mut(at).unwrap();
            let Some((seen, _)) = state.volumes.get_mut(volume) else {
                return refused("InvalidVolume.NotFound");
            };
            if is_gone(instance) || seen.state != "available" {
                return refused("IncorrectState");
            }
            if instance.attached.contains_key(device) {
                return refused("InvalidParameterValue");
            }
            *seen = VolumeSeen { attachment: "attaching".into(), ..attached(at) };
            instance.attached.insert(device.to_owned(), volume.to_owned());
            Ok(())
        })
        .await
    }

    async fn detach_volume(&self, volume: &str) -> Result<(), Fault> {
        self.call("detach_volume", |state| {
            let Some((seen, _)) = state.volumes.get_mut(volume) else {
                return refused("InvalidVolume.NotFound");
            };
            let Some(at) = seen.instance_id.clone() else { return refused("IncorrectState") };
            let (instance, _) = &state.instances[&at];
            let root = instance.attached.get(&instance.root_device).map(String::as_str);
            if root == Some(volume) && instance.state != "stopped" {
                return refused("OperationNotPermitted");
            }
            seen.attachment = "detaching".into();
            Ok(())
        })
        .await
    }
}

fn transition(state: &mut State, id: &str, from: &str, to: &str) -> Result<(), Fault> {
    let (instance, _) = state.instances.get_mut(id).unwrap();
    // Asked again while it is under way, EC2 answers as before.
    if instance.state != from && instance.state != to {
        return refused("IncorrectInstanceState");
    }
    instance.state = to.into();
    Ok(())
}

/// An empty mark is none.
pub(crate) fn is_marked(tags: &Tags) -> bool {
    tags.get(tags::DELETE_AFTER).is_some_and(|mark| !mark.is_empty())
}

impl Label for Cloud {
    async fn label(&self, _: &str, ids: &[String], labels: &Tags) -> Result<(), Fault> {
        self.call("label", |state| {
            for id in ids {
                let tags = if let Some((seen, tags)) = state.instances.get_mut(id) {
                    (!is_gone(seen)).then_some(tags)
                } else if let Some((_, tags)) = state.volumes.get_mut(id) {
                    Some(tags)
                } else {
                    let found = state.snapshots.iter_mut().find(|one| one.snapshot_id == *id);
                    found.map(|one| &mut one.tags)
                };
                let Some(tags) = tags else { return refused("InvalidID.NotFound") };
                let of_a_job = tags.contains_key(tags::JOB_ID);
                assert!(of_a_job || !labels.contains_key(tags::DELETE_AFTER), "IAM: {id}");
                tags.extend(labels.clone());
            }
            Ok(())
        })
        .await
    }

    async fn unlabel(&self, _: &str, _: &[String], _: &[&str]) -> Result<(), Fault> {
        unreachable!("IAM: the restorer takes no tag off")
    }
}

impl Deletion for Cloud {
    async fn delete_snapshot(&self, _: &str, _: &str) -> Result<(), Fault> {
        unreachable!("no policy says so")
    }

    async fn discarded(&self) -> Result<Vec<Discarded>, Fault> {
        Ok(self.with(|state| {
            let instances = state.instances.values().filter(|(seen, _)| !is_gone(seen));
            let instances = instances.map(|(seen, tags)| (&seen.instance_id, false, tags));
            let volumes = state.volumes.iter();
            let volumes = volumes.map(|(id, (seen, tags))| (id, seen.state != "available", tags));
            let all = instances.chain(volumes);
            all.filter(|(_, _, tags)| tags.contains_key(tags::DELETE_AFTER))
                .map(|(id, in_use, tags)| {
                    let (resource_id, tags) = (id.clone(), tags.clone());
                    Discarded { resource_id, in_use, tags }
                })
                .collect()
        }))
    }

    async fn discard(&self, one: &Discarded) -> Result<(), Fault> {
        let id = &one.resource_id;
        self.call("discard", |state| {
            if let Some((instance, tags)) = state.instances.get_mut(id) {
                assert!(is_marked(tags) && tags.contains_key(tags::JOB_ID), "IAM: {id}");
                instance.state = "shutting-down".into();
                let attached = std::mem::take(&mut instance.attached);
                for volume in attached.values() {
                    let seen = VolumeSeen { state: "available".into(), ..VolumeSeen::default() };
                    state.volumes.get_mut(volume).unwrap().0 = seen;
                }
                return Ok(());
            }
            let Some((seen, tags)) = state.volumes.get(id) else { return Ok(()) };
            assert!(is_marked(tags) && tags.contains_key(tags::JOB_ID), "IAM: {id}");
            if seen.state != "available" {
                return refused("VolumeInUse");
            }
            state.volumes.remove(id);
            Ok(())
        })
        .await
    }
}

impl Shelf for Cloud {
    fn home_region(&self) -> String {
        "us-east-1".into()
    }

    async fn snapshots(&self, _: &str, _: &Which) -> Result<Vec<Snapshot>, Fault> {
        self.call("snapshots", |state| Ok(state.snapshots.clone())).await
    }

    async fn locks(&self, _: &str) -> Result<BTreeMap<String, String>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn images(&self, _: &str) -> Result<BTreeMap<String, String>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn instances(&self) -> Result<BTreeMap<String, Tags>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn attachments(&self, _: &[String]) -> Result<BTreeMap<String, (String, String)>, Fault> {
        Ok(BTreeMap::new())
    }
}
