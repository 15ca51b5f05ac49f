//! An order on its way.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::order::{Item, Order, Source};

/// One restore or drill, as it is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// What is asked for.
    pub order: Order,
    /// How far it is.
    pub phase: Phase,
    /// The instance, once there is one.
    pub instance_id: Option<String>,
    /// The zone that volumes are made in.
    pub zone: String,
    /// The new volumes, by device.
    pub volumes: BTreeMap<String, String>,
    /// The volumes whose places they take, by device; on record before one of them is detached.
    pub old: Option<BTreeMap<String, String>>,
    /// What the instance boots from.
    pub root_device: String,
    /// Whether the instance ran before.
    pub was_running: bool,
    /// Since when the verification may have been sent, in ms since the epoch.
    #[serde(default)]
    pub sending_ms: Option<u64>,
    /// The verification's command.
    pub command_id: Option<String>,
    /// How it ended; none before.
    pub verdict: Option<Verdict>,
    /// How often something of the way back was refused, by volume or instance.
    #[serde(default)]
    pub refusals: BTreeMap<String, u32>,
    /// Volumes that could not be taken out or put back, and the instance if it could not be started.
    pub lost: BTreeSet<String>,
    /// What is of no use could not be marked yet.
    #[serde(default)]
    pub owed: bool,
    /// In ms since the epoch.
    pub started_ms: u64,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// The new instance is launched.
    Launch,
    /// The volumes are made.
    Create,
    /// The instance is stopped.
    Stop,
    /// The old volumes are detached.
    Detach,
    /// The new ones are attached.
    Attach,
    /// The instance is started.
    Start,
    /// The document verifies them.
    Verify,
    /// The mark that everything was made with is taken off what stays.
    Keep,
    /// The way back: the new volumes are detached.
    TakeOut,
    /// The old ones are attached.
    PutBack,
    /// The instance is started as it was.
    StartAgain,
    /// A drill's volumes are detached.
    Release,
    /// What is of no use is marked for deletion.
    Discard,
    /// Everybody who has to know is told.
    Report,
    /// What was refused on the way is asked for once more by each driver.
    Settle,
    /// Nothing is owed.
    Done,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// The volumes are where they belong; the drill's document found everything good.
    Good,
    /// The drill's document found that the set is no good.
    Bad {
        /// Its exit code.
        exit_code: i32,
        /// Its words.
        why: String,
    },
    /// It could not be carried out; nothing is known about the set.
    NotDone {
        /// Why.
        why: String,
    },
}

/// Something to be done. Each can be done again, but [`Act::Verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// RunInstances, with the job's id as token. Answered by [`Fact::Launched`].
    Launch,
    /// CreateVolume, with job and device as token. Answered by [`Fact::Created`].
    Create(Item),
    /// StopInstances.
    Stop(String),
    /// StartInstances.
    Start(String),
    /// DetachVolume.
    Detach(String),
    /// AttachVolume.
    Attach {
        /// The volume.
        volume_id: String,
        /// To this instance.
        instance_id: String,
        /// As this device.
        device: String,
    },
    /// Looks for a verification that may have been sent. Answered by [`Fact::Sent`] or
    /// [`Fact::NotSent`].
    Find {
        /// The drill's instance.
        instance_id: String,
        /// Sent since then, in ms since the epoch.
        since_ms: u64,
    },
    /// SendCommand of the drill's document, which takes no token. Answered by [`Fact::Sent`].
    Verify {
        /// The drill's instance.
        instance_id: String,
        /// Volume and the device that it was in the set.
        volumes: BTreeMap<String, String>,
    },
    /// Takes the mark for deletion off these: they are what was asked for.
    Keep(Vec<String>),
    /// Marks what is of no use, and tells the old volumes what replaced them.
    Mark {
        /// May be deleted.
        discard: Vec<String>,
        /// Kept: volume and device.
        replaced: BTreeMap<String, String>,
    },
    /// Tags, event, metrics.
    Report,
}

/// Something that has become true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The instance exists.
    Launched(String),
    /// The volume of a device exists.
    Created {
        /// The device.
        device: String,
        /// The volume.
        volume_id: String,
    },
    /// How the instance is before anything on it is changed.
    Before {
        /// What it boots from.
        root_device: String,
        /// Whether it runs.
        was_running: bool,
        /// What is attached where the new volumes go.
        old: BTreeMap<String, String>,
    },
    /// The zone of the new instance.
    InZone(String),
    /// From now on the verification may have been sent.
    Sending(u64),
    /// It was not.
    NotSent,
    /// The verification was sent.
    Sent(String),
    /// What the verification found.
    Judged(Verdict),
    /// On the way back, something that was asked of this volume or instance was refused.
    Refused(String),
    /// On the way back, these have not settled for so long that nobody waits for them any more.
    GivenUp(Vec<String>),
    /// What is of no use is marked.
    Marked,
    /// It could not be marked, and has to be.
    Unmarked,
    /// It failed; the way back begins, or the end.
    Failed(String),
    /// The phase is over.
    Reached(Phase),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, and look again.
    Act(Act),
    /// Write this down and then do that, since it cannot be done again.
    ActOnRecord(Fact, Act),
    /// Something is under way: wait and look again.
    Wait(&'static str),
    /// Write this down.
    Note(Fact),
    /// Nothing is owed.
    Nothing,
}

impl Job {
    /// A new one.
    #[must_use]
    pub fn new(order: Order, now_ms: u64) -> Self {
        Self {
            phase: order.first_phase(),
            instance_id: order.instance_id().map(str::to_owned),
            zone: order.zone.clone(),
            volumes: BTreeMap::new(),
            old: None,
            root_device: String::new(),
            was_running: false,
            sending_ms: None,
            command_id: None,
            verdict: None,
            refusals: BTreeMap::new(),
            lost: BTreeSet::new(),
            owed: false,
            started_ms: now_ms,
            order,
        }
    }

    /// Where a volume goes.
    pub(crate) fn place<'j>(&'j self, item: &'j Item) -> &'j str {
        if item.place.is_empty() { &self.root_device } else { &item.place }
    }

    /// The volumes that it made, and not those that it only moves.
    pub(crate) fn made(&self) -> Vec<String> {
        let made = self.order.items.iter().filter(|one| matches!(one.source, Source::Snapshot(_)));
        made.filter_map(|item| self.volumes.get(&item.device).cloned()).collect()
    }

    /// All volumes that a look at the world has to cover.
    #[must_use]
    pub fn volume_ids(&self) -> Vec<String> {
        let old = self.old.iter().flat_map(BTreeMap::values);
        self.volumes.values().chain(old).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Order {
    fn first_phase(&self) -> Phase {
        match self.goal {
            crate::order::Goal::NewInstance { .. } => Phase::Launch,
            _ => Phase::Create,
        }
    }
}
