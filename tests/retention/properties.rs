//! Promise I5 over generated inventories: retention never deletes what it did not create, a set
//! that is locked or backs an image, a part of a set, or the last good set of a volume, and it
//! stops deleting when creating has stopped.

use std::collections::BTreeSet;

use stillpoint_retention::{
    Action, Decision, Inventory, Keep, Kind, Owned, Policy, Schedule, Snapshot, State, Tier, plan,
};

use super::{HOUR, NOW, SETTINGS};

const INVENTORIES: u64 = 100_000;

/// SplitMix64: the whole case comes from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in one of `of` cases.
    fn rarely(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn policies(random: &mut Random) -> Vec<Policy> {
    let by_count = random.rarely(2);
    let schedules = 1 + random.below(2);
    let schedule = |random: &mut Random, number| Schedule {
        name: format!("s{number}"),
        keep: if by_count {
            Keep::Count(u32::try_from(1 + random.below(4)).unwrap())
        } else {
            Keep::Age
        },
        copies: !random.rarely(4),
        interval_ms: (!random.rarely(8)).then(|| random.pick(&[HOUR, 6 * HOUR, 24 * HOUR])),
        require_application: random.rarely(2),
        minimum_good_sets: usize::try_from(random.below(3)).unwrap(),
    };
    vec![Policy {
        id: "p1".into(),
        enabled: !random.rarely(10),
        schedules: (0..schedules).map(|number| schedule(random, number)).collect(),
    }]
}

fn inventory(random: &mut Random) -> Inventory {
    let mut inventory = Inventory::default();
    for instance in ["i-1", "i-2"] {
        if !random.rarely(6) {
            let policy = if random.rarely(10) { "p2" } else { "p1" };
            inventory.instances.insert(instance.into(), [policy.to_owned()].into());
        }
    }
    let spread_ms = random.pick(&[HOUR, HOUR, 5 * HOUR, 30 * HOUR]);
    for number in 0..random.below(12) {
        let started_ms = NOW - number * spread_ms - random.below(HOUR);
        let instance = random.pick(&["i-1", "i-1", "i-1", "i-2"]);
        let volumes = random.pick(&[1, 2, 2, 2, 3]);
        let owned = Owned {
            set_id: format!("run-{number}"),
            policy_id: if random.rarely(20) { "p3" } else { "p1" }.into(),
            schedules: random
                .pick(&[&["s0"][..], &["s0"], &["s1"], &["s0", "s1"], &["s9"]])
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            instance_id: instance.into(),
            kind: if random.rarely(8) { Kind::Copy } else { Kind::Original },
            set_size: (!random.rarely(8)).then(|| usize::try_from(volumes).unwrap()),
            application: !random.rarely(3),
            drill_passed: random.rarely(6).then(|| random.rarely(2)),
            expires_ms: (!random.rarely(8)).then(|| NOW + random.below(20 * HOUR) - 15 * HOUR),
            delete_after_ms: (!random.rarely(4)).then(|| NOW + random.below(20 * HOUR) - 15 * HOUR),
            deleting_ms: random.rarely(10).then(|| NOW - random.below(2 * HOUR)),
        };
        for volume in 0..volumes {
            if random.rarely(40) {
                continue; // somebody deleted this one
            }
            let mut owned = owned.clone();
            if random.rarely(40) {
                owned.delete_after_ms = None;
            }
            inventory.snapshots.push(Snapshot {
                snapshot_id: format!("snap-{number}-{volume}"),
                volume_id: format!("vol-{instance}-{volume}"),
                started_ms,
                state: if random.rarely(30) {
                    random.pick(&[State::Pending, State::Error, State::Recoverable])
                } else {
                    State::Completed
                },
                tier: if random.rarely(40) { Tier::Archive } else { Tier::Standard },
                lock: random.rarely(40).then(|| "compliance".into()),
                image_id: random.rarely(40).then(|| "ami-1".into()),
                owned,
                proven: !random.rarely(40),
            });
        }
    }
    inventory
}

/// Written down again, and differently: what is a good set for a schedule.
fn is_good(inventory: &Inventory, set_id: &str, kind: Kind, schedule: &Schedule) -> bool {
    let all: Vec<&Snapshot> = members(inventory, set_id, kind);
    let volumes: BTreeSet<&str> = all.iter().map(|one| one.volume_id.as_str()).collect();
    !all.is_empty()
        && all.iter().all(|one| one.state == State::Completed && one.tier == Tier::Standard)
        && all[0].owned.set_size.is_none_or(|size| all.len() >= size)
        && volumes.len() == all.len()
        && all[0].owned.drill_passed != Some(false)
        && (all[0].owned.application || !schedule.require_application)
}

fn members<'a>(inventory: &'a Inventory, set_id: &str, kind: Kind) -> Vec<&'a Snapshot> {
    let of_set = |one: &&Snapshot| one.owned.set_id == set_id && one.owned.kind == kind;
    inventory.snapshots.iter().filter(|one| one.proven).filter(of_set).collect()
}

/// The good sets of a queue: their ids and volumes.
fn good_sets<'a>(
    inventory: &'a Inventory,
    schedule: &Schedule,
    instance: &str,
    kind: Kind,
) -> Vec<(&'a str, u64, BTreeSet<&'a str>)> {
    let ids: BTreeSet<&str> = inventory
        .snapshots
        .iter()
        .filter(|one| one.owned.policy_id == "p1" && one.owned.instance_id == instance)
        .filter(|one| one.owned.kind == kind && one.owned.schedules.contains(&schedule.name))
        .map(|one| one.owned.set_id.as_str())
        .collect();
    ids.into_iter()
        .filter(|id| is_good(inventory, id, kind, schedule))
        .map(|id| {
            let all = members(inventory, id, kind);
            (id, all[0].started_ms, all.iter().map(|one| one.volume_id.as_str()).collect())
        })
        .collect()
}

fn check(seed: u64) -> [bool; 6] {
    let mut random = Random(seed);
    let policies = policies(&mut random);
    let before = inventory(&mut random);
    let plan = plan(&before, &policies, &SETTINGS, NOW);
    let kind = |one: &Decision| if one.copy { Kind::Copy } else { Kind::Original };

    let decided: usize = plan.decisions.iter().map(|one| one.snapshot_ids.len()).sum();
    assert_eq!(decided, before.snapshots.len(), "each snapshot is decided about once");
    let mut after = before.clone();
    for decision in &plan.decisions {
        if decision.action != Action::Delete {
            continue;
        }
        let all = members(&before, &decision.set_id, kind(decision));
        let ids: Vec<&str> = all.iter().map(|one| one.snapshot_id.as_str()).collect();
        assert_eq!(decision.snapshot_ids, ids, "a whole set, and only what is proven ours");
        let empty = all.iter().all(|one| one.state == State::Error);
        if !empty {
            assert!(all.iter().all(|one| one.lock.is_none() && one.image_id.is_none()));
            let marked = |one: &Snapshot| one.owned.delete_after_ms.is_some_and(|at| at <= NOW);
            assert!(
                all.iter().all(|one| marked(one) || one.owned.deleting_ms.is_some()),
                "nothing goes that was not marked in time"
            );
        }
        assert!(policies.iter().any(|one| one.id == decision.policy_id && one.enabled));
        after.snapshots.retain(|one| !ids.contains(&one.snapshot_id.as_str()));
    }

    let mut reached = [false; 6];
    for schedule in &policies[0].schedules {
        for instance in ["i-1", "i-2"] {
            for kind in [Kind::Original, Kind::Copy] {
                if kind == Kind::Copy && !schedule.copies {
                    continue; // no queue of this schedule: another one may keep the set
                }
                let good = good_sets(&before, schedule, instance, kind);
                let left = good_sets(&after, schedule, instance, kind);
                reached[0] |= left.len() < good.len();
                let floor = schedule.minimum_good_sets.max(1).min(good.len());
                assert!(left.len() >= floor, "the floor of good sets");
                reached[1] |= left.len() == floor && left.len() < good.len();
                for (_, _, volumes) in &good {
                    for volume in volumes {
                        let kept = left.iter().any(|(_, _, volumes)| volumes.contains(volume));
                        assert!(kept, "the last good set of {volume}");
                    }
                }
                let newest = good.iter().map(|(_, started_ms, _)| *started_ms).max();
                let stopped = schedule.interval_ms.is_some_and(|interval_ms| {
                    newest.is_none_or(|newest| NOW > newest + 2 * interval_ms)
                });
                if stopped && before.instances.contains_key(instance) {
                    assert_eq!(left, good, "nothing goes when creating has stopped");
                    reached[2] |= !good.is_empty();
                }
            }
        }
    }
    for decision in &plan.decisions {
        reached[3] |= decision.action == Action::Unmark;
        reached[4] |= matches!(decision.action, Action::Wait { .. });
        reached[5] |= matches!(decision.action, Action::Mark { .. });
    }
    reached
}

#[test]
fn i5_holds_over_a_hundred_thousand_inventories() {
    let mut reached = [0_u64; 6];
    for seed in 0..INVENTORIES {
        let case = std::panic::catch_unwind(|| check(seed));
        let case = case.unwrap_or_else(|_| panic!("seed {seed}"));
        for (count, case) in reached.iter_mut().zip(case) {
            *count += u64::from(case);
        }
    }
    // Each kind of end was seen often, so that the properties above were about something.
    assert!(reached.iter().all(|count| *count > 200), "{reached:?}");
}

#[test]
fn a_plan_that_was_carried_out_has_nothing_more_to_do() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let policies = policies(&mut random);
        let mut account = super::Account::new(Keep::Count(1));
        account.policies = policies;
        account.inventory = inventory(&mut random);
        for _ in 0..2 {
            let plan = account.plan();
            account.perform(&plan);
        }
        let again = account.plan();
        let idle = |one: &Decision| matches!(one.action, Action::Keep | Action::Wait { .. });
        assert!(again.decisions.iter().all(idle), "seed {seed}: {again:#?}");
    }
}
