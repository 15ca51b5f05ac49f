//! Five days of two sets that are copied, shared and restored fast, with the real loops of lifecycle
//! and reaper, and one of all their calls killed, refused, throttled or left without an answer: they
//! end as five days without any trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use stillpoint_upkeep::lifecycle::sweep;
use stillpoint_upkeep::outside::Snapshot;
use stillpoint_upkeep::reaper::{Limits, reap};
use stillpoint_wire::tags;

use super::shelf::{Account, State};
use crate::trouble::{TROUBLES, Trouble, alive};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const START: u64 = 1_767_225_600_000;
const GRACE: u64 = 10 * MINUTE;
const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
const ZONES: [&str; 2] = ["us-east-1a", "us-east-1b"];

/// The calls that have an effect.
const CHANGES: [&str; 9] = [
    "copy_snapshot",
    "enable_fast_restore",
    "disable_fast_restore",
    "share",
    "unshare",
    "label",
    "delete",
    "take_lease",
    "give_lease",
];

const POLICY: &str = r#"{"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
    "TargetTags": [{"Key": "backup", "Value": "yes"}],
    "Schedules": [{"Name": "Nightly", "CreateRule": {"CronExpression": "cron(0 3 * * ? *)"},
        "RetainRule": {"Count": 7},
        "CrossRegionCopyRules": [{"Target": "eu-west-1", "Encrypted": true,
            "RetainRule": {"Interval": 3, "IntervalUnit": "DAYS"}}],
        "ShareRules": [{"TargetAccounts": ["111122223333", "444455556666"],
            "UnshareInterval": 2, "UnshareIntervalUnit": "DAYS"}],
        "FastRestoreRule": {"Count": 1, "AvailabilityZones": ["us-east-1a", "us-east-1b"]}}]}"#;

fn account() -> Account {
    let account = Account::default();
    account.with(|state| {
        state.now_ms = START;
        state.policies = vec![("p1".into(), POLICY.into())];
        let tags = BTreeMap::from([("backup".into(), "yes".into())]);
        state.instances = BTreeMap::from([("i-1".into(), tags)]);
    });
    account
}

/// A copy is still under way when the next sweep comes.
fn pass(account: &Account, ms: u64) {
    account.with(|state| {
        state.now_ms += ms;
        let old_ms = state.now_ms - 10 * MINUTE;
        let pending = state.copies.iter_mut().filter(|one| one.state == "pending");
        pending
            .filter(|one| one.started_ms < old_ms)
            .for_each(|one| one.state = "completed".into());
    });
}

fn sweeps(account: &Account, times: usize) {
    for _ in 0..times {
        let now_ms = account.with(|state| state.now_ms);
        drop(alive(sweep(account, &format!("driver-{now_ms}"), now_ms + 5 * MINUTE)));
        account.with(|state| assert_never_twice(state));
        pass(account, 6 * MINUTE);
    }
}

fn reaps(account: &Account, times: usize) {
    for _ in 0..times {
        let now_ms = account.with(|state| state.now_ms);
        let limits = Limits { grace_ms: GRACE, stop_at_ms: now_ms + 10 * MINUTE };
        drop(alive(reap(account, limits)));
        pass(account, 15 * MINUTE);
    }
}

/// A snapshot has one copy that holds its data or will.
fn assert_never_twice(state: &State) {
    let sound = state.copies.iter().filter(|one| one.state != "error");
    let mut of: Vec<&String> = sound.map(|one| &one.tags[tags::COPY_OF]).collect();
    of.sort_unstable();
    let copies = of.len();
    of.dedup();
    assert_eq!(of.len(), copies, "{:?}", state.log);
}

type Stage = fn(&Account);

/// What happens, and the functions that are invoked for it. The last invocation of each is there to
/// make up for trouble in the others.
const STAGES: [Stage; 7] = [
    |account| {
        account.add("Nightly", 1, account.with(|state| state.now_ms));
        sweeps(account, 2);
    },
    // EC2 gives a copy up; another is made in its place,
    |account| {
        account.with(|state| state.copies[0].state = "error".into());
        sweeps(account, 2);
    },
    // and it is cleared away.
    |account| {
        reaps(account, 2);
        let failed = |state: &mut State| state.copies.iter().any(|one| one.state == "error");
        assert!(!account.with(failed), "a copy that failed is still there");
    },
    |account| {
        pass(account, 12 * HOUR);
        account.add("Nightly", 2, account.with(|state| state.now_ms));
        sweeps(account, 2);
    },
    // Now the first is not shared any more,
    |account| {
        pass(account, 36 * HOUR);
        sweeps(account, 2);
    },
    // then neither is,
    |account| {
        pass(account, 48 * HOUR);
        account.add("Nightly", 3, account.with(|state| state.now_ms));
        sweeps(account, 2);
    },
    // and the copies of both are too old.
    |account| reaps(account, 3),
];

/// Everything that costs, gives access, or is owed.
fn end(account: &Account) -> impl PartialEq + std::fmt::Debug {
    account.with(|state| {
        let copies = state.copies.iter();
        let mut copies: Vec<(String, bool)> =
            copies.map(|one| (one.tags[tags::COPY_OF].clone(), one.state == "error")).collect();
        copies.sort_unstable();
        let word = |text: &String| text.split(' ').next().map(str::to_owned);
        let told = |one: &Snapshot| {
            let known = [tags::SHARED, tags::FAST_RESTORE].map(|key| one.tags.get(key).map(word));
            (one.snapshot_id.clone(), known)
        };
        let told: Vec<_> = state.snapshots.iter().map(told).collect();
        (copies, state.fast.clone(), state.shared.clone(), told)
    })
}

#[test]
fn nothing_is_twice_and_nothing_is_left_whatever_happens_to_any_call() {
    let undisturbed = account();
    let mut met = BTreeSet::new();
    for (number, stage) in STAGES.iter().enumerate() {
        let before = undisturbed.with(|state| state.clone());
        stage(&undisturbed);
        let calls = undisturbed.with(|state| state.calls.clone());
        for (call, name) in calls.iter().enumerate().skip(before.calls.len()) {
            met.insert(name.clone());
            // A read that has no effect can only die or fail.
            let changes = CHANGES.contains(&name.as_str());
            let troubles =
                if changes { &TROUBLES[..] } else { &[Trouble::CrashBefore, Trouble::Refuse] };
            for &trouble in troubles {
                let account = Account(Mutex::new(before.clone()));
                account.with(|state| state.trouble = Some((call, trouble)));
                stage(&account);
                let context = format!("stage {number}: {trouble:?} at call {call} ({name})");
                assert_eq!(end(&account), end(&undisturbed), "{context}");
            }
        }
    }
    assert!(CHANGES.iter().all(|name| met.contains(*name)), "{met:?}");
    assert_whole(&undisturbed);
}

/// Without any trouble.
fn assert_whole(account: &Account) {
    account.with(|state| {
        let third = |id: &String| id.starts_with("snap-0003-");
        assert_eq!(state.snapshots.len(), 6);
        assert!(state.fast.keys().all(third) && state.fast.len() == 2, "{:?}", state.fast);
        assert!(state.fast.values().all(|on| on.iter().eq(ZONES.iter())), "{:?}", state.fast);
        assert!(state.shared.keys().all(third) && state.shared.len() == 2, "{:?}", state.shared);
        assert!(state.shared.values().all(|with| with.iter().eq(ACCOUNTS.iter())));
        let of: Vec<&String> = state.copies.iter().map(|one| &one.tags[tags::COPY_OF]).collect();
        assert_eq!(
            (of.iter().filter(|id| third(id)).count(), of.len()),
            (2, 2),
            "the others were too old"
        );
    });
}
