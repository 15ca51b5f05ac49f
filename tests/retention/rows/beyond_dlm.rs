//! What DLM lacks: good sets, floors, and a stop when creating has stopped.

use stillpoint_retention::{Action, Flaw, Keep, Reason};

use crate::retention::{Account, DAY, HOUR, NOW, ids};

#[test]
fn only_good_sets_count_where_application_consistency_is_required() {
    let mut account = Account::hourly(Keep::Count(2), 5);
    account.schedule().require_application = true;
    for set in ["set-1", "set-2", "set-4"] {
        account.change(set, |one| one.owned.application = false);
    }
    let flaw = Flaw::NotApplication;
    assert_eq!(account.reason("set-1"), Reason::BetweenGoodSets { flaw });
    assert_eq!(account.reason("set-4"), Reason::BetweenGoodSets { flaw });
    assert_eq!(account.reason("set-5"), Reason::WithinCount { position: 2, count: 2 });
}

#[test]
fn a_set_that_is_not_good_goes_when_enough_newer_ones_are() {
    let mut account = Account::hourly(Keep::Count(2), 5);
    account.schedule().require_application = true;
    account.change("set-4", |one| one.owned.application = false);
    assert_eq!(account.going(), ids([3, 4, 5]));
}

#[test]
fn a_set_that_failed_its_drill_does_not_count() {
    let mut account = Account::hourly(Keep::Count(1), 2);
    account.change("set-1", |one| one.owned.drill_passed = Some(false));
    assert_eq!(account.reason("set-1"), Reason::BetweenGoodSets { flaw: Flaw::DrillFailed });
    assert_eq!(account.reason("set-2"), Reason::WithinCount { position: 1, count: 1 });
}

#[test]
fn a_part_of_a_set_does_not_count() {
    let mut account = Account::hourly(Keep::Count(1), 2);
    account.change("set-1", |one| one.owned.set_size = Some(2));
    let flaw = Flaw::Incomplete { present: 1, size: 2 };
    assert_eq!(account.reason("set-1"), Reason::BetweenGoodSets { flaw });
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn so_many_good_sets_stay_whatever_the_rule_says() {
    let mut account = Account::hourly(Keep::Age, 5);
    for set in ids(1..=5) {
        account.change(&set, |one| one.owned.expires_ms = Some(NOW - 1));
    }
    account.schedule().minimum_good_sets = 3;
    account.schedule().interval_ms = Some(DAY);
    assert_eq!(account.going(), ids([4, 5]));
    assert_eq!(account.reason("set-3"), Reason::Floor { minimum: 3 });
}

#[test]
fn the_last_good_set_of_a_volume_stays() {
    let mut account = Account::new(Keep::Count(1));
    account.add("new", NOW - HOUR, &["vol-a"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    account.add("older", NOW - 3 * HOUR, &["vol-a", "vol-b"]);
    assert_eq!(account.reason("old"), Reason::LastOfVolume { volume_id: "vol-b".into() });
    assert_eq!(account.going(), ["older"]);
}

#[test]
fn nothing_is_deleted_when_creating_has_stopped() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.now_ms = NOW + 3 * HOUR / 2;
    assert_eq!(account.going(), ids([2, 3]));
    account.now_ms += 1;
    let newest_good_ms = Some(NOW - HOUR / 2);
    let stopped = Reason::CreatingStopped { newest_good_ms, interval_ms: HOUR };
    assert_eq!(account.reason("set-2"), stopped);
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn nothing_is_deleted_when_only_sets_come_that_are_not_good() {
    let mut account = Account::hourly(Keep::Age, 72);
    account.schedule().require_application = true;
    for set in ids(1..=48) {
        account.change(&set, |one| one.owned.application = false);
    }
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn what_only_looks_like_ours_is_never_touched() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.change("set-3", |one| one.proven = false);
    assert_eq!(account.decision("set-3").action, Action::Keep);
    assert_eq!(account.reason("set-3"), Reason::NotProvenOurs);
}

#[test]
fn a_snapshot_that_looks_like_part_of_a_set_does_not_stop_it_and_does_not_go_with_it() {
    let mut account = Account::hourly(Keep::Count(1), 2);
    account.add("set-2", NOW - HOUR, &["vol-x"]);
    account.inventory.snapshots[2].proven = false;
    let plan = account.plan();
    let going: Vec<_> = plan.decisions.iter().filter(|one| one.goes()).collect();
    assert_eq!(going.len(), 1);
    assert_eq!(going[0].snapshot_ids, ["snap-set-2-vol-a"]);
}
