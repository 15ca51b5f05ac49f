//! From what is wanted and what is there to an order, or to what is wrong, before anything is
//! touched.

use std::collections::BTreeMap;

use crate::choose::{SetSeen, SnapshotSeen};
use crate::job::{Job, Verdict};
use crate::order::{Goal, Item, Launch, Order, Source, VolumeOptions};
use crate::world::InstanceSeen;

/// Device names that EC2 recommends for data volumes, for those that a drill attaches.
const DRILL_LETTERS: &str = "fghijklmnop";

/// What is wanted of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The job's id.
    pub id: String,
    /// What the set becomes.
    pub target: Target,
    /// Only these devices of the set; all where none are named.
    pub devices: Vec<String>,
    /// How volumes are made.
    pub volumes: VolumeOptions,
    /// In ms since the epoch.
    pub deadline_ms: u64,
}

/// What the set becomes, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Volumes in this zone.
    Volumes {
        /// `us-east-1a`
        zone: String,
    },
    /// The volumes of this instance.
    Instance(InstanceSeen),
    /// A new instance.
    NewInstance(Launch),
    /// A drill on this instance.
    Drill {
        /// The instance.
        host: InstanceSeen,
        /// The document.
        document: String,
        /// Its parameters.
        parameters: BTreeMap<String, String>,
        /// In seconds.
        timeout_secs: u32,
    },
}

/// What is wrong: the field, what was found, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// Which field of the request.
    pub field: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: found {}, allowed {}", self.field, self.found, self.allowed)
    }
}

impl std::error::Error for PlanError {}

/// Plans a restore or a drill of a set.
///
/// # Errors
/// Everything that is wrong with what is wanted.
pub fn plan(wanted: Wanted, set: &SetSeen) -> Result<Order, Vec<PlanError>> {
    let mut errors = vec![];
    let chosen = choose_snapshots(&wanted, set, &mut errors);
    let root = root_device(&wanted.target, set);
    let free = free_devices(&wanted.target, chosen.len(), &mut errors);
    let items = chosen.iter().enumerate().map(|(index, one)| {
        let boot = root.as_deref() == Some(one.device.as_str());
        Item {
            device: one.device.clone(),
            place: match &wanted.target {
                Target::Drill { .. } => free.get(index).cloned().unwrap_or_default(),
                Target::NewInstance(_) if boot => String::new(),
                _ => one.device.clone(),
            },
            source: Source::Snapshot(one.snapshot_id.clone()),
            size_gib: one.size_gib,
            boot,
        }
    });
    let items = items.collect();
    let (goal, zone) = match wanted.target {
        Target::Volumes { zone } => {
            if zone.is_empty() {
                errors.push(error("zone", "nothing", "an Availability Zone, such as us-east-1a"));
            }
            (Goal::Volumes, zone)
        }
        Target::Instance(instance) => {
            usable(&instance, &["running", "stopped"], &mut errors);
            (Goal::Instance { instance_id: instance.instance_id }, instance.zone)
        }
        Target::NewInstance(launch) => {
            for (field, value) in
                [("imageId", &launch.image_id), ("instanceType", &launch.instance_type)]
            {
                if value.is_empty() {
                    errors.push(error(field, "nothing", "one, since the set's instance is gone"));
                }
            }
            (Goal::NewInstance { launch }, String::new())
        }
        Target::Drill { host, document, parameters, timeout_secs } => {
            usable(&host, &["running"], &mut errors);
            if host.instance_id == set.instance_id {
                let allowed = "another instance than the set's own: both would be the same server";
                errors.push(error("hostInstanceId", &host.instance_id, allowed));
            }
            let zone = host.zone;
            let instance_id = host.instance_id;
            (Goal::Drill { instance_id, document, parameters, timeout_secs }, zone)
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Order {
        id: wanted.id,
        goal,
        set_id: set.set_id.clone(),
        policy_id: set.policy_id.clone(),
        items,
        zone,
        volumes: wanted.volumes,
        deadline_ms: wanted.deadline_ms,
    })
}

fn choose_snapshots<'s>(
    wanted: &Wanted,
    set: &'s SetSeen,
    errors: &mut Vec<PlanError>,
) -> Vec<&'s SnapshotSeen> {
    let known: Vec<&str> = set.snapshots.iter().map(|one| one.device.as_str()).collect();
    for device in &wanted.devices {
        if !known.contains(&device.as_str()) {
            errors.push(error("devices", device, &format!("of the set: {}", known.join(", "))));
        }
    }
    let all = wanted.devices.is_empty();
    set.snapshots.iter().filter(|one| all || wanted.devices.contains(&one.device)).collect()
}

/// The device that the set's instance booted from: the target's, or what is usual for one.
fn root_device(target: &Target, set: &SetSeen) -> Option<String> {
    if let Target::Instance(instance) = target {
        return Some(instance.root_device.clone());
    }
    let usual = ["/dev/xvda", "/dev/sda1"];
    let found = set.snapshots.iter().find(|one| usual.contains(&one.device.as_str()));
    found.map(|one| one.device.clone())
}

fn free_devices(target: &Target, count: usize, errors: &mut Vec<PlanError>) -> Vec<String> {
    let Target::Drill { host, .. } = target else { return vec![] };
    // The two names of a letter are one device to the instance.
    let is_free = |letter: &char| {
        let taken = |prefix| host.attached.contains_key(&format!("{prefix}{letter}"));
        !taken("/dev/sd") && !taken("/dev/xvd")
    };
    let free = DRILL_LETTERS.chars().filter(is_free).map(|letter| format!("/dev/sd{letter}"));
    let free: Vec<String> = free.take(count).collect();
    if free.len() < count {
        let allowed = format!("an instance with {count} free devices of /dev/sdf to /dev/sdp");
        errors.push(error("hostInstanceId", &host.instance_id, &allowed));
    }
    free
}

fn usable(instance: &InstanceSeen, states: &[&str], errors: &mut Vec<PlanError>) {
    if !states.contains(&instance.state.as_str()) {
        let found = format!("{}, which is {}", instance.instance_id, instance.state);
        let allowed = format!("an instance that is {}", states.join(" or "));
        errors.push(error("instanceId", &found, &allowed));
    }
}

fn error(field: &str, found: &str, allowed: &str) -> PlanError {
    PlanError { field: field.to_owned(), found: found.to_owned(), allowed: allowed.to_owned() }
}

/// Plans the way back of a restore into an instance: the volumes that it replaced take their places
/// again, and those that it made are kept.
///
/// # Errors
/// When the job replaced nothing, or did not succeed.
pub fn undo(job: &Job, id: String, deadline_ms: u64) -> Result<Order, Vec<PlanError>> {
    let old = job.old.as_ref().filter(|old| !old.is_empty());
    let into_instance = matches!(job.order.goal, Goal::Instance { .. });
    let (Some(old), true, Some(Verdict::Good)) = (old, into_instance, &job.verdict) else {
        let allowed = "a restore into an instance that succeeded and replaced volumes";
        return Err(vec![error("undo", &job.order.id, allowed)]);
    };
    let items = old.iter().map(|(device, volume_id)| Item {
        device: device.clone(),
        place: device.clone(),
        source: Source::Volume(volume_id.clone()),
        size_gib: 0,
        boot: *device == job.root_device,
    });
    Ok(Order {
        id,
        goal: job.order.goal.clone(),
        set_id: String::new(),
        policy_id: job.order.policy_id.clone(),
        items: items.collect(),
        zone: job.zone.clone(),
        volumes: VolumeOptions::default(),
        deadline_ms,
    })
}
