//! EC2 as far as a job sees it, with states that take their time.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_restore::{
    Act, CommandSeen, Fact, InstanceSeen, Job, Next, Order, Phase, Source, VolumeSeen, World,
    apply, next, refused,
};

use super::{host, source};

/// What goes wrong, at which act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The act takes effect, and the driver dies before it writes anything down.
    Crash(usize),
    /// The act is refused, and takes no effect.
    Refuse(usize),
    /// Time is over when this act is due.
    TimeIsOver(usize),
    /// The same, and nothing that is under way then ever comes to its end.
    NothingMoves(usize),
}

/// The account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) instances: BTreeMap<String, InstanceSeen>,
    pub(crate) volumes: BTreeMap<String, VolumeSeen>,
    pub(crate) marked: BTreeSet<String>,
    pub(crate) replaced: BTreeMap<String, String>,
    pub(crate) exit_code: i32,
    pub(crate) reports: usize,
    /// Token and what it made.
    tokens: BTreeMap<String, String>,
    commands: BTreeMap<String, u32>,
}

impl Account {
    pub(crate) fn new() -> Self {
        let mut account = Self::default();
        for instance in [source(), host()] {
            for volume_id in instance.attached.values() {
                account.volumes.insert(volume_id.clone(), attached(&instance.instance_id));
            }
            account.instances.insert(instance.instance_id.clone(), instance);
        }
        account
    }

    /// What is under way comes a step further.
    fn tick(&mut self) {
        for instance in self.instances.values_mut() {
            let to = match instance.state.as_str() {
                "stopping" => "stopped",
                "pending" => "running",
                _ => continue,
            };
            instance.state = to.into();
        }
        for (volume_id, volume) in &mut self.volumes {
            match (volume.state.as_str(), volume.attachment.as_str()) {
                ("creating", _) => volume.state = "available".into(),
                (_, "attaching") => volume.attachment = "attached".into(),
                (_, "detaching") => {
                    let at = volume.instance_id.take().unwrap();
                    let instance = self.instances.get_mut(&at).unwrap();
                    instance.attached.retain(|_, one| one != volume_id);
                    *volume = VolumeSeen { state: "available".into(), ..VolumeSeen::default() };
                }
                _ => {}
            }
        }
        for polls in self.commands.values_mut() {
            *polls += 1;
        }
    }

    fn look(&self, job: &Job) -> World {
        let volume = |id: &String| Some((id.clone(), self.volumes.get(id)?.clone()));
        World {
            instance: job.instance_id.as_ref().and_then(|id| self.instances.get(id).cloned()),
            volumes: job.volume_ids().iter().filter_map(volume).collect(),
            command: job.command_id.as_ref().map(|id| match self.commands[id] {
                0 | 1 => CommandSeen::Running,
                _ => CommandSeen::Ended { exit_code: self.exit_code, words: "words".into() },
            }),
        }
    }

    /// Does it, as EC2 would: an act that does not fit the state is a bug of the machine.
    fn perform(&mut self, order: &Order, act: &Act) -> Option<Fact> {
        match act {
            Act::Launch => {
                let id = self.tokens.entry(order.id.clone()).or_insert_with(|| "i-new".into());
                if !self.instances.contains_key(id) {
                    let instance = InstanceSeen {
                        instance_id: id.clone(),
                        state: "pending".into(),
                        zone: "us-east-1c".into(),
                        root_device: "/dev/sda1".into(),
                        attached: BTreeMap::from([("/dev/sda1".into(), "vol-image".into())]),
                    };
                    self.volumes.insert("vol-image".into(), attached(id));
                    self.marked.extend([id.clone(), "vol-image".into()]);
                    self.instances.insert(id.clone(), instance);
                }
                return Some(Fact::Launched(id.clone()));
            }
            Act::Create(item) => {
                assert!(matches!(item.source, Source::Snapshot(_)));
                let token = format!("{}{}", order.id, item.device);
                let made = format!("vol-new-{}", self.tokens.len());
                let id = self.tokens.entry(token).or_insert(made).clone();
                self.volumes.entry(id.clone()).or_insert_with(|| VolumeSeen {
                    state: "creating".into(),
                    ..VolumeSeen::default()
                });
                self.marked.insert(id.clone());
                return Some(Fact::Created { device: item.device.clone(), volume_id: id });
            }
            Act::Stop(id) => self.transition(id, "running", "stopping"),
            Act::Start(id) => self.transition(id, "stopped", "pending"),
            Act::Detach(volume_id) => {
                let volume = self.volumes.get_mut(volume_id).unwrap();
                let at = volume.instance_id.clone().expect("attached");
                let is_root = self.instances[&at].attached.get(&self.instances[&at].root_device)
                    == Some(volume_id);
                let stopped = self.instances[&at].state == "stopped";
                assert!(stopped || !is_root, "a root volume cannot be detached from what runs");
                volume.attachment = "detaching".into();
            }
            Act::Attach { volume_id, instance_id, device } => {
                let volume = self.volumes.get_mut(volume_id).unwrap();
                assert_eq!((volume.state.as_str(), &volume.instance_id), ("available", &None));
                *volume = VolumeSeen { attachment: "attaching".into(), ..attached(instance_id) };
                let instance = self.instances.get_mut(instance_id).unwrap();
                let taken = instance.attached.insert(device.clone(), volume_id.clone());
                assert_eq!(taken, None, "{device} is taken");
            }
            Act::Find { .. } => return Some(Fact::NotSent),
            Act::Verify { volumes, .. } => {
                assert!(volumes.keys().all(|id| self.volumes[id].attachment == "attached"));
                let id = format!("command-{}", self.commands.len());
                self.commands.insert(id.clone(), 0);
                return Some(Fact::Sent(id));
            }
            Act::Keep(kept) => {
                self.marked.retain(|id| !kept.contains(id));
                return Some(Fact::Reached(Phase::Discard));
            }
            Act::Mark { discard, replaced } => {
                self.marked.extend(discard.iter().cloned());
                self.replaced.extend(replaced.clone());
                return Some(Fact::Marked);
            }
            Act::Report => {
                self.reports += 1;
                return Some(Fact::Reached(Phase::Settle));
            }
        }
        None
    }

    /// What EC2 refuses, since an earlier call has not come to its end.
    fn is_in_the_way(&self, act: &Act) -> bool {
        match act {
            Act::Attach { instance_id, device, .. } => {
                self.instances[instance_id].attached.contains_key(device)
            }
            _ => false,
        }
    }

    fn transition(&mut self, id: &str, from: &str, to: &str) {
        let instance = self.instances.get_mut(id).unwrap();
        assert_eq!(instance.state, from);
        instance.state = to.into();
    }

    /// Drives an order to its end. Returns the job and how many acts there were.
    pub(crate) fn drive(&mut self, order: Order, fault: Option<Fault>) -> (Job, usize) {
        let mut job = Job::new(order, 0);
        let mut acts = 0;
        let mut time_is_over = false;
        let mut waited_ms = 0;
        for _ in 0..500 {
            let now_ms = if time_is_over { super::DEADLINE_MS + 1 + waited_ms } else { 1 };
            match next(&job, &self.look(&job), now_ms) {
                Next::Nothing => return (job, acts),
                Next::Wait(_) if time_is_over && matches!(fault, Some(Fault::NothingMoves(_))) => {
                    // From here on each sweep asks once more, and nobody waits for it.
                    if job.phase == Phase::Settle {
                        return (job, acts);
                    }
                    waited_ms += 60_000;
                }
                Next::Wait(_) => self.tick(),
                Next::Note(fact) => apply(&mut job, fact),
                Next::ActOnRecord(..) | Next::Act(_)
                    if !time_is_over
                        && matches!(fault, Some(Fault::TimeIsOver(at) | Fault::NothingMoves(at)) if at == acts) =>
                {
                    time_is_over = true;
                }
                Next::ActOnRecord(_, act) | Next::Act(act) if self.is_in_the_way(&act) => {
                    if let Some(fact) = refused(&job, &act, "the device is taken") {
                        apply(&mut job, fact);
                    }
                }
                Next::ActOnRecord(_, act) | Next::Act(act)
                    if fault == Some(Fault::Refuse(acts)) =>
                {
                    acts += 1;
                    if let Some(fact) = refused(&job, &act, "no") {
                        apply(&mut job, fact);
                    }
                }
                Next::ActOnRecord(_, act) | Next::Act(act) => {
                    let answer = self.perform(&job.order.clone(), &act);
                    let lost = fault == Some(Fault::Crash(acts));
                    acts += 1;
                    if let Some(fact) = answer.filter(|_| !lost) {
                        apply(&mut job, fact);
                    }
                }
            }
        }
        panic!("no end: {job:#?}");
    }
}

fn attached(instance_id: &str) -> VolumeSeen {
    VolumeSeen {
        state: "in-use".into(),
        instance_id: Some(instance_id.into()),
        attachment: "attached".into(),
    }
}
