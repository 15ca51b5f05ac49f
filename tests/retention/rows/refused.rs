//! What EC2 refuses to delete, and what failed.

use stillpoint_retention::{Action, Keep, Reason, State};

use crate::retention::{Account, HOUR, NOW, ids};

#[test]
fn a_set_behind_an_image_stays_whole() {
    let mut account = Account::new(Keep::Count(1));
    account.add("new", NOW - HOUR, &["vol-a", "vol-b"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    account.inventory.snapshots[2].image_id = Some("ami-1".into());
    let decision = account.decision("old");
    assert_eq!(decision.action, Action::Keep);
    let snapshot_id = "snap-old-vol-a".to_owned();
    assert_eq!(decision.reason, Reason::BehindImage { snapshot_id, image_id: "ami-1".into() });
}

#[test]
fn a_locked_set_stays_whole_as_long_as_it_is_locked() {
    let mut account = Account::new(Keep::Count(1));
    account.add("new", NOW - HOUR, &["vol-a", "vol-b"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    account.inventory.snapshots[3].lock = Some("governance".into());
    let snapshot_id = "snap-old-vol-b".to_owned();
    let reason = Reason::Locked { snapshot_id, lock: "governance".into() };
    assert_eq!(account.reason("old"), reason);
    account.inventory.snapshots[3].lock = None;
    assert_eq!(account.going(), ["old"]);
}

#[test]
fn a_failed_set_is_not_counted_and_goes_at_once() {
    let mut account = Account::hourly(Keep::Count(2), 3);
    account.change("set-1", |one| one.state = State::Error);
    let decision = account.decision("set-1");
    assert_eq!((decision.action, decision.reason), (Action::Delete, Reason::Failed));
    assert_eq!(account.going(), ids([1]));
}

#[test]
fn a_pending_set_is_not_counted_and_stays() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.change("set-1", |one| one.state = State::Pending);
    assert_eq!(account.reason("set-1"), Reason::Pending);
    assert_eq!(account.reason("set-2"), Reason::WithinCount { position: 1, count: 1 });
    assert_eq!(account.going(), ids([3]));
}
