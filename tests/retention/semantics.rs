//! Each row of docs/RETENTION.md, by name.

use stillpoint_retention::{Action, Flaw, Keep, Kind, Reason, State, Tier};

use super::{Account, DAY, HOUR, INSTANCE, NOW, POLICY, SCHEDULE, ids};

// --- count and age, as DLM counts ----------------------------------------------------------------

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

// --- the archive and the Recycle Bin -------------------------------------------------------------

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

// --- policies and sources that change ------------------------------------------------------------

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

// --- what EC2 refuses, and what failed -----------------------------------------------------------

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

// --- what DLM lacks ------------------------------------------------------------------------------

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

// --- two phases ----------------------------------------------------------------------------------

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

// --- copies in other Regions ---------------------------------------------------------------------

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
