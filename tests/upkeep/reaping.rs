//! The reaper with its real loop: months in virtual time, deaths at every change, pace.

use std::collections::BTreeMap;

use stillpoint_upkeep::outside::{Discarded, Snapshot};
use stillpoint_upkeep::reaper::{Done, Limits, reap};
use stillpoint_upkeep::retention::plan;
use stillpoint_wire::{tags, time};

use super::shelf::{Account, now};
use crate::trouble::{TROUBLES, alive};

const HOUR: u64 = 60 * 60 * 1_000;
const START: u64 = 1_767_225_600_000;
const GRACE: u64 = 24 * HOUR;

fn policy(retain: &str) -> String {
    format!(
        r#"{{"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
            "TargetTags": [{{"Key": "backup", "Value": "yes"}}],
            "Schedules": [{{"Name": "Hourly", "CreateRule": {{"CronExpression": "cron(0 * * * ? *)"}},
                            "RetainRule": {retain}}}]}}"#
    )
}

fn account(retain: &str) -> Account {
    let account = Account::default();
    account.with(|state| {
        state.now_ms = START;
        state.policies = vec![("p1".into(), policy(retain))];
        let tags = BTreeMap::from([("backup".into(), "yes".into())]);
        state.instances = BTreeMap::from([("i-1".into(), tags)]);
    });
    account
}

fn limits(account: &Account) -> Limits {
    Limits { grace_ms: GRACE, stop_at_ms: account.with(|state| state.now_ms) + HOUR / 4 }
}

fn sets(account: &Account, marked: bool) -> Vec<String> {
    let mut ids: Vec<String> = account.with(|state| {
        let fits = |one: &&Snapshot| one.tags.contains_key(tags::DELETE_AFTER) == marked;
        state.snapshots.iter().filter(fits).map(|one| one.tags[tags::RUN_ID].clone()).collect()
    });
    ids.dedup();
    ids
}

#[test]
fn a_month_of_hourly_sets_keeps_exactly_what_the_policy_says() {
    let account = account(r#"{"Count": 24}"#);
    for hour in 0..30 * 24 {
        account.with(|state| state.now_ms = START + hour * HOUR);
        account.add("Hourly", hour, START + hour * HOUR);
        now(reap(&account, limits(&account))).unwrap();
        let kept: Vec<String> =
            (hour.saturating_sub(23)..=hour).map(|one| format!("run-{one:04}")).collect();
        assert_eq!(sets(&account, false), kept, "hour {hour}");
        let marked = sets(&account, true).len() as u64;
        assert!(marked <= 25, "hour {hour}: {marked} wait for the end of their grace");
        let whole = account.with(|state| state.snapshots.len());
        assert_eq!(whole % 2, 0, "whole sets");
    }
}

/// A reaper one of whose calls was killed, refused, throttled or left without an answer is followed by
/// one that ends where it would have.
#[test]
fn a_reaper_that_died_is_followed_by_one_that_goes_on() {
    let make = || {
        let account = account(r#"{"Count": 2}"#);
        for number in 0..6 {
            account.add("Hourly", number, START - (6 - number) * HOUR);
        }
        account.with(|state| {
            let past = time::rfc3339(START - 1);
            for one in state.snapshots.iter_mut().take(4) {
                one.tags.insert(tags::DELETE_AFTER.into(), past.clone());
            }
            // This one was marked for a reason that is gone.
            for one in state.snapshots.iter_mut().skip(10) {
                one.tags.insert(tags::DELETE_AFTER.into(), past.clone());
            }
        });
        account
    };
    let undisturbed = make();
    now(reap(&undisturbed, limits(&undisturbed))).unwrap();
    let changes = undisturbed.with(|state| state.log.len());
    assert_eq!(changes, 1 + 2 + 2 * (1 + 2), "unmark, mark, and two sets deleted on record");
    let end = |account: &Account| {
        account.with(|state| {
            state
                .snapshots
                .iter()
                .map(|one| {
                    let marked = one.tags.contains_key(tags::DELETE_AFTER);
                    (one.snapshot_id.clone(), marked, one.tags.contains_key(tags::DELETING_AT))
                })
                .collect::<Vec<_>>()
        })
    };
    let calls = undisturbed.with(|state| state.calls.clone());
    for (call, name) in calls.iter().enumerate() {
        for trouble in TROUBLES {
            let account = make();
            account.with(|state| state.trouble = Some((call, trouble)));
            drop(alive(reap(&account, limits(&account))));
            now(reap(&account, limits(&account))).unwrap();
            let context = format!("{trouble:?} at call {call} ({name})");
            assert_eq!(end(&account), end(&undisturbed), "{context}");
        }
    }
}

#[test]
fn the_record_comes_before_the_first_deletion() {
    let account = account(r#"{"Count": 1}"#);
    account.add("Hourly", 0, START - 2 * HOUR);
    account.add("Hourly", 1, START - HOUR);
    for days in [0, 25 * HOUR] {
        account.with(|state| state.now_ms = START + days);
        account.add("Hourly", 2 + days, START + days);
        now(reap(&account, limits(&account))).unwrap();
    }
    let log = account.with(|state| state.log.clone());
    let first = log.iter().position(|one| one.starts_with("delete ")).expect("a deletion");
    assert_eq!(
        log[first - 1],
        format!("label snap-0000-vol-a,snap-0000-vol-b {}", tags::DELETING_AT)
    );
}

#[test]
fn it_deletes_below_the_pace_of_ec2_and_stops_in_time() {
    let account = account(r#"{"Count": 1}"#);
    for number in 0..1_000 {
        account.add("Hourly", number, START - 2_000 * HOUR + number * HOUR);
    }
    account.with(|state| {
        for one in &mut state.snapshots {
            one.tags.insert(tags::DELETE_AFTER.into(), time::rfc3339(START - 1));
        }
    });
    account.add("Hourly", 1_000, START - HOUR / 2);
    let begun = account.with(|state| state.now_ms);
    let done = now(reap(&account, limits(&account))).unwrap();
    let seconds = (account.with(|state| state.now_ms) - begun) / 1_000;
    let deleted: u64 = done.deleted.values().sum();
    assert_eq!(deleted, 2_000);
    assert!(deleted.div_ceil(seconds) <= 4, "{deleted} in {seconds} s");
    assert!(!done.out_of_time);
    let mut short = limits(&account);
    short.stop_at_ms = account.with(|state| state.now_ms);
    account.add("Hourly", 1_001, START);
    assert!(now(reap(&account, short)).unwrap().out_of_time);
}

#[test]
fn a_policy_that_cannot_be_read_deletes_nothing() {
    let account = account(r#"{"Count": 1}"#);
    for number in 0..3 {
        account.add("Hourly", number, START - (3 - number) * HOUR);
    }
    account.with(|state| state.policies[0].1 = "{}".into());
    assert_eq!(now(reap(&account, limits(&account))).unwrap(), Done::default());
    assert!(account.with(|state| state.log.is_empty()));
}

#[test]
fn an_old_set_without_an_expiry_is_as_old_as_its_policy_allows() {
    let account = account(r#"{"Interval": 1, "IntervalUnit": "DAYS"}"#);
    account.add("Hourly", 0, START - 25 * HOUR);
    account.add("Hourly", 1, START - HOUR / 2);
    let plan = now(plan(&account, GRACE)).unwrap();
    let decisions = &plan.regions["us-east-1"].decisions;
    assert_eq!(decisions.iter().map(|one| one.goes()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_snapshot_with_our_tags_that_we_did_not_make_is_left_alone() {
    let account = account(r#"{"Count": 1}"#);
    for number in 0..3 {
        account.add("Hourly", number, START - (3 - number) * HOUR);
    }
    account.with(|state| state.snapshots[0].description = "Created by CreateImage".into());
    now(reap(&account, limits(&account))).unwrap();
    assert!(!account.with(|state| state.snapshots[0].tags.contains_key(tags::DELETE_AFTER)));
}

#[test]
fn what_restores_left_is_cleared_away_when_it_is_due_and_in_nobodys_use() {
    let account = account(r#"{"Count": 1}"#);
    let left = |id: &str, job: bool, after_ms: u64, in_use| {
        let mut tags = BTreeMap::from([(tags::DELETE_AFTER.to_owned(), time::rfc3339(after_ms))]);
        if job {
            tags.insert(tags::JOB_ID.to_owned(), "drill-1".to_owned());
        }
        Discarded { resource_id: id.to_owned(), in_use, tags }
    };
    account.with(|state| {
        state.discarded = vec![
            left("vol-due", true, START - 1, false),
            left("vol-later", true, START + 10 * HOUR, false),
            left("vol-used", true, START - 1, true),
            left("vol-of-somebody", false, START - 1, false),
            left("i-due", true, START - 1, false),
        ];
    });
    let done = now(reap(&account, limits(&account))).unwrap();
    assert_eq!(done.discarded, ["vol-due", "i-due"]);
}
