//! Policies and instances that change or go.

use stillpoint_retention::{Keep, Reason};

use crate::retention::{Account, DAY, INSTANCE, NOW, ids};

#[test]
fn the_sets_of_a_renamed_schedule_are_unmanaged() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.schedule().name = "Renamed".into();
    assert_eq!(account.reason("set-3"), Reason::NoSuchSchedule);
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn the_sets_of_an_instance_that_is_not_targeted_any_more_are_unmanaged() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.inventory.instances.insert(INSTANCE.into(), ["other".into()].into());
    assert_eq!(account.reason("set-3"), Reason::NotTargeted);
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn when_the_instance_is_gone_nothing_that_is_kept_by_count_is_managed() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.instance_is_gone();
    assert_eq!(account.reason("set-3"), Reason::InstanceGone);
    assert_eq!(account.going(), Vec::<String>::new());
}

#[test]
fn when_the_instance_is_gone_all_but_the_last_go_by_age() {
    let mut account = Account::hourly(Keep::Age, 3);
    account.now_ms = NOW + 30 * DAY;
    account.instance_is_gone();
    assert_eq!(account.going(), ids([2, 3]));
    assert_eq!(account.reason("set-1"), Reason::Floor { minimum: 1 });
}

#[test]
fn a_policy_that_is_not_enabled_deletes_nothing_and_resumes() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.policies[0].enabled = false;
    assert_eq!(account.reason("set-3"), Reason::PolicyNotEnabled);
    assert_eq!(account.going(), Vec::<String>::new());
    account.policies[0].enabled = true;
    assert_eq!(account.going(), ids([2, 3]));
}

#[test]
fn the_sets_of_a_deleted_policy_stay() {
    let mut account = Account::hourly(Keep::Count(1), 3);
    account.policies.clear();
    assert_eq!(account.reason("set-3"), Reason::NoSuchPolicy);
    assert_eq!(account.going(), Vec::<String>::new());
}
