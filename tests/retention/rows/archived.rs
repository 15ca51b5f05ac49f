//! Sets in the archive and in the Recycle Bin.

use stillpoint_retention::{Action, Keep, Reason, State, Tier};

use crate::retention::{Account, HOUR, NOW, ids};

fn with_archived(keep: Keep) -> Account {
    let mut account = Account::hourly(keep, 4);
    account.change("set-4", |one| one.tier = Tier::Archive);
    account
}

#[test]
fn a_set_that_was_archived_by_hand_is_unmanaged_and_not_counted() {
    let account = with_archived(Keep::Count(1));
    assert_eq!(account.reason("set-4"), Reason::Archived);
    assert_eq!(account.going(), ids([2, 3]));
}

#[test]
fn an_archived_set_that_was_restored_before_its_end_is_managed_again() {
    let mut account = with_archived(Keep::Count(1));
    account.change("set-4", |one| one.tier = Tier::Standard);
    assert_eq!(account.going(), ids([2, 3, 4]));
}

#[test]
fn a_changed_count_does_not_touch_archived_sets() {
    let mut account = with_archived(Keep::Count(4));
    account.schedule().keep = Keep::Count(2);
    assert_eq!(account.going(), ids([3]));
    assert_eq!(account.reason("set-4"), Reason::Archived);
}

#[test]
fn a_changed_age_does_not_touch_archived_sets() {
    let mut account = with_archived(Keep::Age);
    account.change("set-4", |one| one.owned.expires_ms = Some(NOW - 1));
    assert_eq!(account.reason("set-4"), Reason::Archived);
}

#[test]
fn archived_sets_stay_when_archiving_is_over() {
    let mut account = with_archived(Keep::Age);
    account.change("set-3", |one| one.owned.expires_ms = Some(NOW - 1));
    account.change("set-4", |one| one.owned.expires_ms = Some(NOW - 1));
    // What is pending goes at the expiry it was given; what is archived is nobody's.
    assert_eq!(account.going(), ids([3]));
}

#[test]
fn archived_sets_of_a_disabled_policy_stay() {
    let mut account = with_archived(Keep::Count(1));
    account.policies[0].enabled = false;
    assert_eq!(account.reason("set-4"), Reason::PolicyNotEnabled);
}

#[test]
fn a_set_that_could_not_be_archived_is_a_set_like_any_other() {
    // It stays in the standard tier, and that is all that there is to see of it.
    let mut account = with_archived(Keep::Count(3));
    account.change("set-4", |one| one.tier = Tier::Standard);
    assert_eq!(account.reason("set-4"), Reason::BeyondCount { count: 3 });
}

#[test]
fn a_set_in_the_recycle_bin_is_left_to_it_and_not_counted() {
    let mut account = Account::hourly(Keep::Count(2), 3);
    account.change("set-1", |one| one.state = State::Recoverable);
    assert_eq!(account.reason("set-1"), Reason::InRecycleBin);
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn a_set_that_came_back_from_the_recycle_bin_before_its_end_is_managed() {
    // A person deleted it: it has none of our marks.
    let account = Account::hourly(Keep::Count(2), 3);
    assert_eq!(account.reason("set-2"), Reason::WithinCount { position: 2, count: 2 });
}

#[test]
fn a_set_that_came_back_from_the_recycle_bin_after_its_end_is_unmanaged() {
    let mut account = Account::hourly(Keep::Count(2), 3);
    account.change("set-3", |one| {
        one.owned.delete_after_ms = Some(NOW - 3 * HOUR);
        one.owned.deleting_ms = Some(NOW - 2 * HOUR);
    });
    assert_eq!(account.decision("set-3").action, Action::Keep);
    assert_eq!(account.reason("set-3"), Reason::CameBack);
    // Until then it may be a deletion that was interrupted, and that goes on.
    account.change("set-3", |one| one.owned.deleting_ms = Some(NOW - HOUR / 2));
    assert_eq!(account.decision("set-3").action, Action::Delete);
}
