//! Retention: every row of docs/RETENTION.md, promise I5 over generated inventories, and a month
//! of hourly sets.

mod month;
mod properties;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_retention::{
    Action, Decision, Inventory, Keep, Kind, Owned, Plan, Policy, Reason, Schedule, Settings,
    Snapshot, State, Tier, plan,
};

pub(crate) const HOUR: u64 = 60 * 60 * 1_000;
pub(crate) const DAY: u64 = 24 * HOUR;
/// Some day at 00:00 UTC; every set here is made before it.
pub(crate) const NOW: u64 = 1_767_225_600_000;
pub(crate) const POLICY: &str = "nightly";
pub(crate) const SCHEDULE: &str = "Every hour";
pub(crate) const INSTANCE: &str = "i-1";
/// The age at which sets expire, in schedules that keep them by age.
pub(crate) const EXPIRES_AFTER: u64 = 2 * DAY;
pub(crate) const SETTINGS: Settings = Settings { grace_ms: DAY };

/// An account with one instance, one policy and the sets that a test puts there.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) inventory: Inventory,
    pub(crate) policies: Vec<Policy>,
    pub(crate) now_ms: u64,
}

impl Account {
    pub(crate) fn new(keep: Keep) -> Self {
        let schedule = Schedule {
            name: SCHEDULE.to_owned(),
            keep,
            copies: false,
            interval_ms: Some(HOUR),
            require_application: false,
            minimum_good_sets: 1,
        };
        let policy = Policy { id: POLICY.to_owned(), enabled: true, schedules: vec![schedule] };
        let targeted = BTreeSet::from([POLICY.to_owned()]);
        Self {
            inventory: Inventory {
                snapshots: vec![],
                instances: BTreeMap::from([(INSTANCE.to_owned(), targeted)]),
            },
            policies: vec![policy],
            now_ms: NOW,
        }
    }

    /// Sets of one volume, an hour apart, the newest (`set-1`) half an hour old.
    pub(crate) fn hourly(keep: Keep, sets: u64) -> Self {
        let mut account = Self::new(keep);
        for number in 1..=sets {
            account.add(&format!("set-{number}"), NOW - (number - 1) * HOUR - HOUR / 2, &["vol-a"]);
        }
        account
    }

    /// A completed set of these volumes.
    pub(crate) fn add(&mut self, set_id: &str, started_ms: u64, volumes: &[&str]) {
        for volume in volumes {
            self.inventory.snapshots.push(Snapshot {
                snapshot_id: format!("snap-{set_id}-{volume}"),
                volume_id: (*volume).to_owned(),
                started_ms,
                state: State::Completed,
                tier: Tier::Standard,
                lock: None,
                image_id: None,
                owned: Owned {
                    set_id: set_id.to_owned(),
                    policy_id: POLICY.to_owned(),
                    schedules: vec![SCHEDULE.to_owned()],
                    instance_id: INSTANCE.to_owned(),
                    kind: Kind::Original,
                    set_size: Some(volumes.len()),
                    application: true,
                    drill_passed: None,
                    expires_ms: Some(started_ms + EXPIRES_AFTER),
                    delete_after_ms: None,
                    deleting_ms: None,
                },
                proven: true,
            });
        }
    }

    /// Changes every snapshot of one set.
    pub(crate) fn change(&mut self, set_id: &str, change: impl Fn(&mut Snapshot)) {
        let mut found = false;
        for snapshot in &mut self.inventory.snapshots {
            if snapshot.owned.set_id == set_id {
                change(snapshot);
                found = true;
            }
        }
        assert!(found, "no such set: {set_id}");
    }

    pub(crate) fn schedule(&mut self) -> &mut Schedule {
        &mut self.policies[0].schedules[0]
    }

    pub(crate) fn instance_is_gone(&mut self) {
        self.inventory.instances.clear();
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.inventory, &self.policies, &SETTINGS, self.now_ms)
    }

    pub(crate) fn decision(&self, set_id: &str) -> Decision {
        let plan = self.plan();
        let found = plan.decisions.into_iter().find(|one| one.set_id == set_id);
        found.unwrap_or_else(|| panic!("nothing was decided about {set_id}"))
    }

    pub(crate) fn reason(&self, set_id: &str) -> Reason {
        self.decision(set_id).reason
    }

    /// The sets that go, from the newest.
    pub(crate) fn going(&self) -> Vec<String> {
        let plan = self.plan();
        plan.decisions.into_iter().filter(Decision::goes).map(|one| one.set_id).collect()
    }

    /// Does what the plan says.
    pub(crate) fn perform(&mut self, plan: &Plan) {
        for decision in &plan.decisions {
            let ours = |one: &Snapshot| decision.snapshot_ids.contains(&one.snapshot_id);
            let snapshots = &mut self.inventory.snapshots;
            match decision.action {
                Action::Keep | Action::Wait { .. } => {}
                Action::Delete => snapshots.retain(|one| !ours(one)),
                Action::Unmark => {
                    for one in snapshots.iter_mut().filter(|one| ours(one)) {
                        one.owned.delete_after_ms = None;
                        one.owned.deleting_ms = None;
                    }
                }
                Action::Mark { delete_after_ms } => {
                    for one in snapshots.iter_mut().filter(|one| ours(one)) {
                        one.owned.delete_after_ms = Some(delete_after_ms);
                    }
                }
            }
        }
    }
}

pub(crate) fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("set-{number}")).collect()
}
