//! Copies in other Regions.

use stillpoint_retention::{Keep, Kind, Reason};

use crate::retention::{Account, DAY, NOW, POLICY, ids};

fn copies(sets: u64) -> Account {
    let mut account = Account::hourly(Keep::Count(1), sets);
    account.schedule().copies = true;
    for set in ids(1..=sets) {
        account.change(&set, |one| one.owned.kind = Kind::Copy);
    }
    account
}

#[test]
fn copies_are_kept_by_their_own_age() {
    let mut account = copies(3);
    account.change("set-3", |one| one.owned.expires_ms = Some(NOW - 1));
    assert_eq!(account.going(), ids([3]));
}

#[test]
fn the_last_good_copy_stays_when_the_instance_is_gone() {
    let mut account = copies(3);
    account.instance_is_gone();
    account.now_ms = NOW + 30 * DAY;
    assert_eq!(account.going(), ids([2, 3]));
}

#[test]
fn copies_that_nobody_asks_for_any_more_are_unmanaged() {
    let mut account = copies(3);
    account.schedule().copies = false;
    assert_eq!(account.reason("set-3"), Reason::CopiesNotManaged);
    assert_eq!(POLICY, account.decision("set-3").policy_id);
}
