//! The real loop of restores and drills, killed, refused, throttled and left without an answer at
//! every single call, with somebody back at once, late, after the reaper, or never. Afterwards the
//! reaper has been, and nothing is left that nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_restore::{Goal, Job, Order, Phase, Target, Verdict};
use stillpoint_wire::tags;

use super::cloud::{BACKS, Back, Cloud, State, is_marked};
use super::{name, order, source, targets};
use crate::trouble::{TROUBLES, Trouble};

/// Long enough for deliveries that come when leases have ended.
const DEADLINE_MS: u64 = 2 * 60 * 60 * 1_000;

fn ordered(target: Target) -> Order {
    Order { deadline_ms: DEADLINE_MS, ..order(target) }
}

/// What has to be true once the reaper was there, however far the job came.
fn assert_nothing_is_left(state: &State, job: Option<&Job>, context: &str) {
    let before = Cloud::new().with(|state| state.clone());
    let over = job.filter(|job| job.phase == Phase::Done);
    let good = over.filter(|job| job.verdict == Some(Verdict::Good) && !job.order.is_drill());
    let wanted: BTreeSet<&String> = good.iter().flat_map(|job| job.volumes.values()).collect();
    // A restore that nobody came back to may have been good already, and not said so yet.
    let told = job.is_none_or(|job| job.phase == Phase::Done || job.phase < Phase::Keep);
    for (id, (seen, tags)) in &state.volumes {
        let old = before.volumes.contains_key(id);
        assert!(!old || !tags.contains_key(tags::DELETE_AFTER), "{context}: {id} is theirs");
        if wanted.contains(id) || (!old && good.is_some() && seen.state == "in-use") {
            assert!(!is_marked(tags), "{context}: {id} was asked for, and will go");
        } else if !old && told {
            // In a place of an instance of theirs, where a job that nobody comes back to died.
            let held = seen.instance_id.is_some() && over.is_none();
            assert!(held && is_marked(tags), "{context}: {id} is an orphan: {seen:?} {tags:?}");
        }
    }
    for id in before.volumes.keys().chain(wanted) {
        assert!(state.volumes.contains_key(id), "{context}: {id} is gone");
    }
    if let Some((instance, tags)) = state.instances.get("i-new") {
        let kept = instance.state == "running" && !is_marked(tags);
        let gone = instance.state == "terminated";
        assert!(if good.is_some() { kept } else { gone || !told }, "{context}: {instance:?}");
    }
    let sent = state.commands.len();
    assert!(sent <= 1, "{context}: {sent} commands");
}

/// What has to be true of a job that is over.
fn assert_over(state: &State, job: &Job, context: &str) {
    let before = Cloud::new().with(|state| state.clone());
    assert_eq!(job.phase, Phase::Done, "{context}");
    assert_eq!(job.lost, BTreeSet::new(), "{context}");
    assert_eq!(state.instances["i-host"].0, before.instances["i-host"].0, "{context}");
    let good = job.verdict == Some(Verdict::Good);
    let at_source = &state.instances["i-source"].0;
    if good && matches!(job.order.goal, Goal::Instance { .. }) {
        assert_eq!(at_source.state, "running", "{context}");
        for (device, volume_id) in &job.volumes {
            assert_eq!(&at_source.attached[device], volume_id, "{context}");
            let old = &source().attached[device];
            assert_eq!(&job.old.as_ref().unwrap()[device], old, "{context}: the way back");
            let (seen, tags) = &state.volumes[old];
            assert_eq!(seen.state, "available", "{context}");
            assert_eq!(tags.get(tags::REPLACED_BY), Some(&job.order.id), "{context}");
        }
    } else {
        assert_eq!(*at_source, source(), "{context}: as it was");
    }
    let words: BTreeSet<&str> =
        state.events.iter().map(|(_, one)| one["verdict"].as_str().unwrap()).collect();
    let word = if good { "good" } else { "not-done" };
    assert_eq!(words, BTreeSet::from([word]), "{context}: one verdict, and it was told");
    for one in &state.snapshots {
        let label = one.tags.get(tags::DRILL).map(|text| text.split(' ').next().unwrap());
        let passed = (good && job.order.is_drill()).then_some(tags::DRILL_PASSED);
        assert_eq!(label, passed, "{context}");
    }
    assert!(state.commands.len() == 1 || !good || !job.order.is_drill(), "{context}");
}

/// How many calls it takes when nothing goes wrong.
fn calls(order: &Order) -> usize {
    let cloud = Cloud::new();
    let job = cloud.deliver(order, Back::Soon).expect("a job");
    assert_eq!(job.verdict, Some(Verdict::Good), "{}", name(&order.goal));
    let calls = cloud.with(|state| state.calls.len());
    cloud.clear_away(order);
    cloud.with(|state| {
        assert_over(state, &job, "undisturbed");
        assert_nothing_is_left(state, Some(&job), "undisturbed");
    });
    calls
}

/// One fault at each call, or four in a row, each with every way of coming back; by call, how often
/// it was met.
fn disturb(target: Target) -> BTreeMap<String, usize> {
    let order = ordered(target);
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for call in 0..calls(&order) {
        for trouble in TROUBLES {
            for (back, repeats) in BACKS.iter().flat_map(|back| [(*back, 1), (*back, 4)]) {
                let cloud = Cloud::new();
                cloud.plan(call, trouble, repeats);
                let job = cloud.deliver(&order, back);
                let at = cloud.with(|state| {
                    state.trouble_is_over();
                    state.calls[call].clone()
                });
                *met.entry(at.clone()).or_default() += 1;
                let again = |call: &String| call == "find_command";
                let searched = cloud.with(|state| state.calls.iter().any(again));
                *met.entry("searched".into()).or_default() += usize::from(searched);
                let goal = name(&order.goal);
                let context =
                    format!("{goal}: {repeats} {trouble:?} at call {call} ({at}), {back:?}");
                cloud.clear_away(&order);
                cloud.with(|state| {
                    assert_nothing_is_left(state, job.as_ref(), &context);
                    if back != Back::Never {
                        assert_over(state, job.as_ref().expect("a job"), &context);
                    }
                });
                // What only costs time costs nothing else.
                if back == Back::Soon && trouble != Trouble::Refuse {
                    assert_eq!(job.unwrap().verdict, Some(Verdict::Good), "{context}");
                }
            }
        }
    }
    met
}

fn assert_met(met: &BTreeMap<String, usize>, calls: &[&str]) {
    for call in ["load_job", "save_job", "create_volume", "label", "publish"].iter().chain(calls) {
        assert!(met.get(*call).is_some_and(|count| *count >= 20), "{call}: {met:?}");
    }
}

#[test]
fn volumes_are_whole_or_gone_whatever_happens_to_any_call() {
    assert_met(&disturb(targets().remove(0)), &[]);
}

#[test]
fn an_instance_has_its_new_volumes_or_its_old_ones_whatever_happens_to_any_call() {
    let met = disturb(targets().remove(1));
    assert_met(&met, &["stop_instance", "detach_volume", "attach_volume", "start_instance"]);
}

#[test]
fn a_new_instance_is_whole_or_gone_whatever_happens_to_any_call() {
    let met = disturb(targets().remove(2));
    assert_met(&met, &["launch_instance", "stop_instance", "detach_volume", "attach_volume"]);
}

#[test]
fn a_drill_verifies_once_and_leaves_nothing_whatever_happens_to_any_call() {
    let met = disturb(targets().remove(3));
    assert_met(&met, &["attach_volume", "send", "state", "detach_volume", "snapshots", "searched"]);
}

/// The function dies when the marks are off and not yet on record, and its role may put no more
/// marks on anything for half a day.
#[test]
fn what_cannot_be_marked_is_told_and_marked_by_a_later_sweep() {
    let order = ordered(targets().remove(2));
    let undisturbed = Cloud::new();
    undisturbed.deliver(&order, Back::Soon);
    let keep = undisturbed.with(|state| state.calls.iter().position(|call| call == "label"));
    let cloud = Cloud::new();
    cloud.plan(keep.unwrap(), Trouble::CrashAfter, 1);
    cloud.deliver(&order, Back::Never);
    assert!(!is_marked(&cloud.with(|state| state.instances["i-new"].1.clone())));
    cloud.pass(DEADLINE_MS * 2);
    cloud.refuse("label", 50);
    let owing = cloud.deliver(&order, Back::Never).expect("a job");
    assert_eq!((owing.phase, owing.owed), (Phase::Settle, true));
    assert_eq!(cloud.with(|state| state.events.len()), 1, "told all the same");
    let over = cloud.deliver(&order, Back::Soon).expect("a job");
    cloud.clear_away(&order);
    cloud.with(|state| {
        assert_over(state, &over, "marked late");
        assert_nothing_is_left(state, Some(&over), "marked late");
    });
}

#[test]
fn a_copy_that_the_host_does_not_give_back_is_detached_by_a_later_sweep() {
    let order = ordered(targets().remove(3));
    let cloud = Cloud::new();
    cloud.refuse("detach_volume", 50);
    let owing = cloud.deliver(&order, Back::Never).expect("a job");
    assert_eq!((owing.phase, owing.lost.len()), (Phase::Settle, 3));
    let told = cloud.with(|state| state.events[0].1.clone());
    assert_eq!(
        (&told["verdict"], told["notPutBack"].as_array().unwrap().len()),
        (&"good".into(), 3)
    );
    let over = cloud.deliver(&order, Back::Soon).expect("a job");
    cloud.clear_away(&order);
    cloud.with(|state| assert_nothing_is_left(state, Some(&over), "detached late"));
}

/// Nobody can be told before it is done, and nothing is taken back for it.
#[test]
fn a_report_that_is_refused_is_made_by_a_later_sweep() {
    for target in targets() {
        let order = ordered(target);
        let cloud = Cloud::new();
        cloud.refuse("publish", 5);
        let over = cloud.deliver(&order, Back::Late).expect("a job");
        cloud.clear_away(&order);
        cloud.with(|state| {
            assert_over(state, &over, "reported late");
            assert_nothing_is_left(state, Some(&over), "reported late");
        });
    }
}

/// A new instance and three volumes that nobody ever came back to.
#[test]
fn the_reaper_clears_away_whatever_happens_to_any_of_its_calls() {
    let order = ordered(targets().remove(2));
    let undisturbed = Cloud::new();
    undisturbed.deliver(&order, Back::Soon);
    let made = undisturbed.with(|state| state.calls.iter().rposition(|one| one == "create_volume"));
    let abandoned = || {
        let cloud = Cloud::new();
        cloud.plan(made.unwrap(), Trouble::CrashAfter, 1);
        let job = cloud.deliver(&order, Back::Never);
        (cloud, job)
    };
    let (cloud, job) = abandoned();
    let before = cloud.with(|state| state.calls.len());
    cloud.clear_away(&order);
    cloud.with(|state| assert_nothing_is_left(state, job.as_ref(), "undisturbed"));
    let calls = cloud.with(|state| state.calls[before..].to_vec());
    assert_eq!(calls.iter().filter(|one| *one == "discard").count(), 1 + 5, "{calls:?}");
    for (call, name) in calls.iter().enumerate() {
        for trouble in TROUBLES {
            let (cloud, job) = abandoned();
            cloud.plan(call, trouble, 1);
            cloud.clear_away(&order);
            let context = format!("{trouble:?} at the reaper's call {call} ({name})");
            cloud.with(|state| assert_nothing_is_left(state, job.as_ref(), &context));
        }
    }
}
