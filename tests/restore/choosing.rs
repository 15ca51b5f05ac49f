//! Which set, and what is refused before anything is touched.

use stillpoint_restore::{Goal, Selector, SetSeen, Source, Target, choose, plan};

use super::{host, set, source, targets, wanted};

fn sets() -> Vec<SetSeen> {
    let made = |id: &str, started_ms, consistency: &str| SetSeen {
        set_id: id.into(),
        started_ms,
        consistency: consistency.into(),
        ..set()
    };
    vec![
        made("run-1", 1_000, "application"),
        made("run-2", 2_000, "crash"),
        made("run-3", 3_000, "application"),
    ]
}

fn of_instance(before_ms: Option<u64>, application: bool) -> Selector {
    Selector::Instance { instance_id: "i-source".into(), before_ms, application }
}

#[test]
fn the_newest_set_before_a_time() {
    let sets = sets();
    let chosen = |before, application| {
        choose(&sets, &of_instance(before, application))
            .map(|one| one.set.set_id.clone())
            .map_err(|refused| refused.to_string())
    };
    assert_eq!(chosen(None, false).unwrap(), "run-3");
    assert_eq!(chosen(Some(2_999), false).unwrap(), "run-2");
    assert_eq!(chosen(Some(2_999), true).unwrap(), "run-1");
    assert!(chosen(Some(999), true).unwrap_err().contains("no application-consistent set"));
}

#[test]
fn a_set_that_is_passed_over_or_worse_than_it_looks_is_told() {
    let mut sets = sets();
    sets[2].drill_failed = true;
    let chosen = choose(&sets, &of_instance(None, false)).unwrap();
    assert_eq!(chosen.set.set_id, "run-2");
    assert!(chosen.warnings.iter().any(|one| one.contains("crash-consistent")));
    assert!(chosen.warnings.iter().any(|one| one.contains("run-3")));
    let by_run = choose(&sets, &Selector::Run("run-3".into())).unwrap();
    assert_eq!(by_run.warnings, ["its restore drill failed"]);
}

#[test]
fn what_cannot_be_restored_is_refused() {
    let refused = |change: &dyn Fn(&mut SetSeen)| {
        let mut one = set();
        change(&mut one);
        choose(&[one], &Selector::Run("run-1".into())).unwrap_err().to_string()
    };
    assert!(refused(&|one| one.snapshots[0].completed = false).contains("not all"));
    assert!(refused(&|one| drop(one.snapshots.pop())).contains("only 2 of its 3"));
    assert!(refused(&|one| one.snapshots[0].device.clear()).contains("devices"));
    assert!(refused(&|one| one.set_id = "other".into()).contains("there is no set"));
}

#[test]
fn the_boot_volume_takes_the_place_of_the_root_device() {
    let order = plan(wanted(targets().remove(2)), &set()).unwrap();
    assert!(matches!(order.goal, Goal::NewInstance { .. }));
    assert_eq!((order.items[0].boot, order.items[0].place.as_str()), (true, ""));
    assert_eq!((order.items[1].boot, order.items[1].place.as_str()), (false, "/dev/sdf"));
}

#[test]
fn a_drill_takes_devices_that_are_free_on_its_host() {
    let order = plan(wanted(targets().remove(3)), &set()).unwrap();
    let places: Vec<&str> = order.items.iter().map(|item| item.place.as_str()).collect();
    assert_eq!(places, ["/dev/sdg", "/dev/sdh", "/dev/sdi"], "/dev/xvdf is taken");
    assert_eq!(order.zone, "us-east-1b", "the host's");
}

#[test]
fn only_the_named_devices_are_restored() {
    let mut some = wanted(Target::Instance(source()));
    some.devices = vec!["/dev/sdg".into()];
    let order = plan(some.clone(), &set()).unwrap();
    assert_eq!(order.items.len(), 1);
    assert_eq!(order.items[0].source, Source::Snapshot("snap-log".into()));
    some.devices.push("/dev/sdz".into());
    let errors = plan(some, &set()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "devices: found /dev/sdz, allowed of the set: /dev/xvda, /dev/sdf, /dev/sdg"
    );
}

#[test]
fn a_target_that_cannot_be_used_is_refused_by_field() {
    let field = |target| plan(wanted(target), &set()).unwrap_err()[0].field.clone();
    assert_eq!(field(Target::Volumes { zone: String::new() }), "zone");
    let mut gone = source();
    gone.state = "terminated".into();
    assert_eq!(field(Target::Instance(gone)), "instanceId");
    let drill = |host| match targets().remove(3) {
        Target::Drill { document, parameters, timeout_secs, .. } => {
            Target::Drill { host, document, parameters, timeout_secs }
        }
        _ => unreachable!(),
    };
    assert_eq!(field(drill(source())), "hostInstanceId");
    let mut full = host();
    for letter in 'g'..='p' {
        full.attached.insert(format!("/dev/sd{letter}"), "vol-x".into());
    }
    assert_eq!(field(drill(full)), "hostInstanceId");
    assert_eq!(field(Target::NewInstance(stillpoint_restore::Launch::default())), "imageId");
}
