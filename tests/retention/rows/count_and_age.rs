//! Sets that a schedule keeps by count or by age, as DLM counts.

use stillpoint_retention::{Keep, Reason};

use crate::retention::{Account, DAY, HOUR, INSTANCE, NOW, SCHEDULE, ids};

#[test]
fn count_keeps_the_newest_and_the_rest_goes() {
    let account = Account::hourly(Keep::Count(3), 5);
    assert_eq!(account.going(), ids([4, 5]));
    assert_eq!(account.reason("set-1"), Reason::WithinCount { position: 1, count: 3 });
    assert_eq!(account.reason("set-3"), Reason::WithinCount { position: 3, count: 3 });
    assert_eq!(account.reason("set-4"), Reason::BeyondCount { count: 3 });
}

#[test]
fn count_is_per_schedule_and_instance() {
    let mut account = Account::hourly(Keep::Count(2), 4);
    account.change("set-2", |one| one.owned.instance_id = "i-2".into());
    let targeted = account.inventory.instances[INSTANCE].clone();
    account.inventory.instances.insert("i-2".into(), targeted);
    let mut daily = account.policies[0].schedules[0].clone();
    daily.name = "Every day".into();
    account.policies[0].schedules.push(daily);
    account.change("set-3", |one| one.owned.schedules = vec!["Every day".into()]);
    // Left in the hourly queue of the first instance: 1 and 4.
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn a_set_is_kept_or_deleted_whole() {
    let mut account = Account::new(Keep::Count(1));
    account.add("new", NOW - HOUR, &["vol-a", "vol-b"]);
    account.add("old", NOW - 2 * HOUR, &["vol-a", "vol-b"]);
    let decision = account.decision("old");
    assert!(decision.goes());
    assert_eq!(decision.snapshot_ids, ["snap-old-vol-a", "snap-old-vol-b"]);
}

#[test]
fn age_deletes_at_the_expiry_that_was_fixed_at_creation() {
    let mut account = Account::hourly(Keep::Age, 3);
    account.change("set-2", |one| one.owned.expires_ms = Some(NOW - 1));
    account.change("set-3", |one| one.owned.expires_ms = Some(NOW + 1));
    assert_eq!(account.going(), ids([2]));
    assert_eq!(account.reason("set-3"), Reason::NotExpired { expires_ms: NOW + 1 });
}

#[test]
fn a_changed_age_is_for_new_sets_only() {
    // The rule's age is not even an input: what counts is on the set.
    let mut account = Account::hourly(Keep::Age, 2);
    account.change("set-2", |one| one.owned.expires_ms = Some(NOW + DAY));
    assert_eq!(account.reason("set-2"), Reason::NotExpired { expires_ms: NOW + DAY });
}

#[test]
fn a_set_without_an_expiry_stays() {
    let mut account = Account::hourly(Keep::Age, 1);
    account.add("old", NOW - 400 * DAY, &["vol-a"]);
    account.change("old", |one| one.owned.expires_ms = None);
    assert_eq!(account.reason("old"), Reason::NoExpiry);
}

#[test]
fn a_changed_count_is_for_the_sets_that_exist() {
    let mut account = Account::hourly(Keep::Count(4), 4);
    assert_eq!(account.going(), Vec::<String>::new());
    account.schedule().keep = Keep::Count(2);
    assert_eq!(account.going(), ids([3, 4]));
}

#[test]
fn an_age_shorter_than_the_interval_keeps_the_newest_until_the_next() {
    let mut account = Account::new(Keep::Age);
    account.schedule().interval_ms = Some(7 * DAY);
    account.add("last-week", NOW - 6 * DAY, &["vol-a"]);
    assert_eq!(account.reason("last-week"), Reason::Floor { minimum: 1 });
    account.add("today", NOW - HOUR, &["vol-a"]);
    assert_eq!(account.going(), ["last-week"]);
}

#[test]
fn a_schedule_that_fires_once_keeps_its_set() {
    let mut account = Account::new(Keep::Age);
    account.schedule().interval_ms = None;
    account.add("once", NOW - 400 * DAY, &["vol-a"]);
    assert_eq!(account.reason("once"), Reason::Floor { minimum: 1 });
}

#[test]
fn a_set_of_several_schedules_is_kept_by_the_one_that_keeps_it_longest() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    let mut daily = account.policies[0].schedules[0].clone();
    daily.name = "Every day".into();
    account.policies[0].schedules.push(daily);
    account.change("set-3", |one| {
        one.owned.schedules = vec![SCHEDULE.into(), "Every day".into()];
    });
    assert_eq!(account.going(), ids([2]));
    assert_eq!(account.reason("set-3"), Reason::WithinCount { position: 1, count: 1 });
}
