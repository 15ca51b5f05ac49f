//! How jobs end, whatever happens on the way.

use std::cell::Cell;
use std::collections::BTreeMap;

use stillpoint_restore::{Goal, Job, Target, Verdict, undo};

use super::world::{Account, Fault};
use super::{host, name, order, source, targets};

/// Nothing is left behind that nobody knows of: each volume and instance that was not there before
/// is what was asked for, or is marked and in nobody's use.
fn assert_clean(account: &Account, job: &Job, context: &str) {
    let before = Account::new();
    let good = job.verdict == Some(Verdict::Good);
    for (volume_id, volume) in &account.volumes {
        let new = !before.volumes.contains_key(volume_id);
        let wanted =
            good && !job.order.is_drill() && job.volumes.values().any(|one| one == volume_id);
        let at_launched = volume.instance_id.as_deref() == Some("i-new");
        if volume_id == "vol-image" && at_launched {
            continue; // it goes when its instance goes
        }
        if new && !wanted {
            assert!(account.marked.contains(volume_id), "{context}: {volume_id} is an orphan");
            assert!(volume.instance_id.is_none() || at_launched, "{context}: {volume_id} in use");
        } else {
            assert!(!account.marked.contains(volume_id), "{context}: {volume_id} is wanted");
        }
    }
    for id in account.instances.keys().filter(|id| !before.instances.contains_key(*id)) {
        assert_eq!(account.marked.contains(id), !good, "{context}: {id}");
    }
    assert!(!account.marked.contains("i-source") && !account.marked.contains("i-host"));
    assert_eq!(account.instances["i-host"], host(), "{context}: the host is as it was");
    if !good {
        assert_eq!(account.instances["i-source"], source(), "{context}: the way back");
    }
    assert_eq!(job.lost.len(), 0, "{context}");
}

#[test]
fn each_goal_is_reached() {
    for target in targets() {
        let mut account = Account::new();
        let (job, _) = account.drive(order(target), None);
        let context = name(&job.order.goal);
        assert_eq!(job.verdict, Some(Verdict::Good), "{context}");
        assert_clean(&account, &job, context);
        assert_eq!(account.reports, 1);
        match job.order.goal {
            Goal::Volumes => {
                assert!(job.volumes.values().all(|id| account.volumes[id].state == "available"));
            }
            Goal::Instance { .. } => {
                let instance = &account.instances["i-source"];
                assert_eq!(instance.state, "running");
                for device in ["/dev/xvda", "/dev/sdf", "/dev/sdg"] {
                    assert_eq!(instance.attached[device], job.volumes[device]);
                    let old = &source().attached[device];
                    assert_eq!(account.replaced[old], device, "the old volume is kept and told");
                    assert_eq!(account.volumes[old].state, "available");
                }
                assert_eq!(instance.attached["/dev/sdh"], "vol-other", "not in the set");
            }
            Goal::NewInstance { .. } => {
                let instance = &account.instances["i-new"];
                assert_eq!(instance.state, "running");
                assert_eq!(instance.attached["/dev/sda1"], job.volumes["/dev/xvda"]);
                assert_eq!(instance.attached["/dev/sdf"], job.volumes["/dev/sdf"]);
            }
            Goal::Drill { .. } => {
                assert!(job.volumes.values().all(|id| account.volumes[id].state == "available"));
            }
        }
    }
}

#[test]
fn a_driver_that_dies_after_each_act_is_followed_by_one_that_reaches_the_same_end() {
    for target in targets() {
        let (_, acts) = Account::new().drive(order(target.clone()), None);
        for act in 0..acts {
            let mut account = Account::new();
            let (job, _) = account.drive(order(target.clone()), Some(Fault::Crash(act)));
            let context = format!("{} after act {act}", name(&job.order.goal));
            assert_eq!(job.verdict, Some(Verdict::Good), "{context}");
            assert_clean(&account, &job, &context);
            let made = account.volumes.keys().filter(|id| id.starts_with("vol-new")).count();
            assert_eq!(made, 3, "{context}: each volume is made once");
        }
    }
}

/// Each goal once for each of its acts, which meets with this; it is reported once whatever happens.
fn at_each_act(fault: fn(usize) -> Fault, check: impl Fn(&Account, &Job, &str)) {
    for target in targets() {
        let (_, acts) = Account::new().drive(order(target.clone()), None);
        // The last two are the mark and the report; a lost mark is only late.
        for act in 0..acts - 2 {
            let mut account = Account::new();
            let (job, _) = account.drive(order(target.clone()), Some(fault(act)));
            let context = format!("{} with {:?}", name(&job.order.goal), fault(act));
            check(&account, &job, &context);
            assert_eq!(account.reports, 1, "{context}");
        }
    }
}

#[test]
fn what_is_refused_at_any_step_ends_as_it_began() {
    at_each_act(Fault::Refuse, |account, job, context| {
        assert!(
            matches!(&job.verdict, Some(Verdict::NotDone { why }) if why == "no")
                || job.order.is_drill(),
            "{context}: {:?}",
            job.verdict
        );
        if job.lost.is_empty() {
            assert_clean(account, job, context);
        }
    });
}

#[test]
fn what_is_not_over_in_time_ends_as_it_began() {
    at_each_act(Fault::TimeIsOver, assert_clean);
}

#[test]
fn what_a_person_has_to_do_is_told_for_each() {
    let target = targets().into_iter().find(|one| matches!(one, Target::Instance(_)));
    let (mut job, _) = Account::new().drive(order(target.unwrap()), None);
    let old = source().attached["/dev/sdf"].clone();
    job.lost = [old.clone(), job.volumes["/dev/sdf"].clone(), "i-source".into()].into();
    let told = job.loose_ends().join("\n");
    let put_back = format!("{old} could not be put back: attach it to i-source as /dev/sdf");
    assert!(told.contains(&put_back), "{told}");
    assert!(told.contains("i-source could not be stopped or started as it was"), "{told}");
    assert!(told.contains("could not be taken out of i-source: unmount it there"), "{told}");
}

/// A volume that stays `detaching`, an instance that stays `stopping`: the job comes to an end all
/// the same, and tells what is not as it was.
#[test]
fn what_never_settles_is_given_up_and_told() {
    let given_up = Cell::new(0);
    at_each_act(Fault::NothingMoves, |account, job, context| {
        let here = |id: &&String| {
            account.volumes.get(*id).is_some_and(|one| one.instance_id == job.instance_id)
        };
        // A new instance goes with all that is attached to it.
        let goes = matches!(job.order.goal, Goal::NewInstance { .. } | Goal::Volumes);
        let stays = job.verdict == Some(Verdict::Good) && !job.order.is_drill();
        for id in job.volumes.values().filter(here).filter(|_| !goes && !stays) {
            assert!(job.lost.contains(id), "{context}: {id} is where it was put");
        }
        let told = job.loose_ends();
        for id in &job.lost {
            assert!(told.iter().any(|line| line.starts_with(id)), "{context}: {told:?}");
        }
        given_up.set(given_up.get() + usize::from(!job.lost.is_empty()));
    });
    let given_up = given_up.get();
    assert!(given_up > 3, "{given_up}");
}

#[test]
fn an_instance_that_was_stopped_stays_stopped() {
    let mut account = Account::new();
    account.instances.get_mut("i-source").unwrap().state = "stopped".into();
    let (job, _) = account.drive(order(Target::Instance(source())), None);
    assert_eq!(job.verdict, Some(Verdict::Good));
    assert_eq!(account.instances["i-source"].state, "stopped");
}

#[test]
fn a_restore_can_be_undone() {
    let mut account = Account::new();
    let (job, _) = account.drive(order(Target::Instance(source())), None);
    let back = undo(&job, "job-2".into(), super::DEADLINE_MS).expect("an order");
    let (undone, _) = account.drive(back, None);
    assert_eq!(undone.verdict, Some(Verdict::Good));
    assert_eq!(account.instances["i-source"], source());
    // Now the restored ones are those that are kept.
    assert!(job.volumes.values().all(|id| account.replaced.contains_key(id)));
    assert!(account.marked.is_empty());
}

#[test]
fn only_a_restore_into_an_instance_can_be_undone() {
    let mut account = Account::new();
    let (job, _) = account.drive(order(Target::Volumes { zone: "us-east-1a".into() }), None);
    assert_eq!(undo(&job, "job-2".into(), 1).unwrap_err()[0].field, "undo");
}

#[test]
fn a_drill_judges_by_the_exit_code() {
    let verdicts: BTreeMap<i32, &str> = BTreeMap::from([
        (0, "good"),
        (20, "bad"),
        (21, "bad"),
        (39, "bad"),
        (1, "not done"),
        (40, "not done"),
        (137, "not done"),
        (206, "not done"),
    ]);
    for (exit_code, expected) in verdicts {
        let mut account = Account::new();
        account.exit_code = exit_code;
        let (job, _) = account.drive(order(targets().pop().unwrap()), None);
        let found = match job.verdict.as_ref().unwrap() {
            Verdict::Good => "good",
            Verdict::Bad { .. } => "bad",
            Verdict::NotDone { .. } => "not done",
        };
        assert_eq!(found, expected, "{exit_code}");
        assert_clean(&account, &job, expected);
    }
}
