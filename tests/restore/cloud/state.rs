//! What there is in the account, with states that take their time.

use std::collections::BTreeMap;

use stillpoint_restore::{InstanceSeen, VolumeSeen};
use stillpoint_upkeep::jobs::outside::RecordedJob;
use stillpoint_upkeep::outside::Snapshot;
use stillpoint_wire::tags;

use crate::restore::{host, set, source};
use crate::trouble::Trouble;

pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) comment: String,
    pub(crate) instance_id: String,
    pub(crate) sent_ms: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) now_ms: u64,
    pub(crate) instances: BTreeMap<String, (InstanceSeen, Tags)>,
    pub(crate) volumes: BTreeMap<String, (VolumeSeen, Tags)>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) commands: Vec<Command>,
    pub(crate) jobs: BTreeMap<String, RecordedJob>,
    /// Type and detail.
    pub(crate) events: Vec<(String, serde_json::Value)>,
    /// Token and what it made.
    pub(super) tokens: BTreeMap<String, String>,
    /// Every call, in order.
    pub(crate) calls: Vec<String>,
    pub(super) trouble: Option<(usize, Trouble, usize)>,
    pub(super) refusing: Option<(&'static str, usize)>,
}

impl State {
    pub(super) fn new() -> Self {
        let mut state = Self { now_ms: 1, ..Self::default() };
        for instance in [source(), host()] {
            for volume_id in instance.attached.values() {
                let seen = attached(&instance.instance_id);
                state.volumes.insert(volume_id.clone(), (seen, Tags::new()));
            }
            state.instances.insert(instance.instance_id.clone(), (instance, Tags::new()));
        }
        state.snapshots = set().snapshots.iter().map(|one| snapshot(&one.snapshot_id)).collect();
        state
    }

    pub(super) fn trouble_at(&mut self, name: &str) -> Option<Trouble> {
        let number = self.calls.len();
        self.calls.push(name.to_owned());
        let at = |(first, trouble, repeats)| {
            (first..first + repeats).contains(&number).then_some(trouble)
        };
        if let Some(trouble) = self.trouble.and_then(at) {
            return Some(trouble);
        }
        let (refused, times) = self.refusing.as_mut()?;
        if *refused != name || *times == 0 {
            return None;
        }
        *times -= 1;
        Some(Trouble::Refuse)
    }

    /// Nothing goes wrong any more.
    pub(crate) fn trouble_is_over(&mut self) {
        self.trouble = None;
    }

    /// What is under way comes a step further.
    pub(super) fn tick(&mut self) {
        for (instance, _) in self.instances.values_mut() {
            let to = match instance.state.as_str() {
                "stopping" => "stopped",
                "pending" => "running",
                "shutting-down" => "terminated",
                _ => continue,
            };
            instance.state = to.into();
        }
        for (volume_id, (volume, _)) in &mut self.volumes {
            match (volume.state.as_str(), volume.attachment.as_str()) {
                ("creating", _) => volume.state = "available".into(),
                (_, "attaching") => volume.attachment = "attached".into(),
                (_, "detaching") => {
                    let at = volume.instance_id.take().unwrap();
                    let (instance, _) = self.instances.get_mut(&at).unwrap();
                    instance.attached.retain(|_, one| one != volume_id);
                    *volume = VolumeSeen { state: "available".into(), ..VolumeSeen::default() };
                }
                _ => {}
            }
        }
    }
}

pub(super) fn attached(instance_id: &str) -> VolumeSeen {
    VolumeSeen {
        state: "in-use".into(),
        instance_id: Some(instance_id.into()),
        attachment: "attached".into(),
    }
}

fn snapshot(snapshot_id: &str) -> Snapshot {
    let set = set();
    let tags = [(tags::RUN_ID, set.set_id.as_str()), (tags::POLICY_ID, &set.policy_id)];
    Snapshot {
        snapshot_id: snapshot_id.to_owned(),
        state: "completed".into(),
        description: format!("stillpoint {} {}", set.policy_id, set.set_id),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Snapshot::default()
    }
}
