//! A set is marked first and deleted later.

use stillpoint_retention::{Action, Keep, Reason};

use crate::retention::{Account, DAY, HOUR, NOW};

#[test]
fn a_set_is_marked_first_and_deleted_after_its_grace() {
    let mut account = Account::hourly(Keep::Count(1), 2);
    account.schedule().interval_ms = Some(DAY);
    let delete_after_ms = NOW + DAY;
    assert_eq!(account.decision("set-2").action, Action::Mark { delete_after_ms });
    let plan = account.plan();
    account.perform(&plan);
    account.now_ms = NOW + DAY - 1;
    assert_eq!(account.decision("set-2").action, Action::Wait { delete_after_ms });
    account.now_ms = NOW + DAY;
    assert_eq!(account.decision("set-2").action, Action::Delete);
}

#[test]
fn a_mark_that_has_lost_its_reason_is_taken_off() {
    let mut account = Account::hourly(Keep::Count(1), 2);
    let plan = account.plan();
    account.perform(&plan);
    account.change("set-1", |one| one.owned.drill_passed = Some(false));
    assert_eq!(account.decision("set-2").action, Action::Unmark);
}

#[test]
fn a_set_that_is_marked_in_part_is_marked_again() {
    let mut account = Account::new(Keep::Count(1));
    account.add("new", NOW - HOUR, &["vol-a", "vol-b"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    account.inventory.snapshots[2].owned.delete_after_ms = Some(NOW - HOUR);
    assert_eq!(account.decision("old").action, Action::Mark { delete_after_ms: NOW + DAY });
}

#[test]
fn a_deletion_that_was_begun_is_ended() {
    let mut account = Account::new(Keep::Count(5));
    account.add("new", NOW - HOUR, &["vol-a", "vol-b"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    account.change("old", |one| {
        one.owned.delete_after_ms = Some(NOW - HOUR);
        one.owned.deleting_ms = Some(NOW - 1);
    });
    // The rule has changed its mind, and all of it is there: it stays.
    assert_eq!(account.decision("old").action, Action::Unmark);
    account.inventory.snapshots.pop();
    let decision = account.decision("old");
    assert_eq!((decision.action, decision.reason), (Action::Delete, Reason::DeletionBegun));
}
