//! The budget of CreateSnapshots calls: what a fleet asks for at one time.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillpoint_budget::fleet::{Firing, Peak, last_begins_ms, peaks};
use stillpoint_budget::{Bucket, CREATE_SNAPSHOTS};

const HOUR_MS: u64 = 3_600_000;
const NIGHT: &str = "2026-01-02T03:00:00Z";
const NOON: &str = "2026-01-02T12:00:00Z";

fn firing(policy_id: &str, at: &str, runs: u64, volumes: &[&str]) -> Firing {
    Firing {
        policy_id: policy_id.to_owned(),
        at: at.to_owned(),
        runs,
        volumes: Arc::new(volumes.iter().map(|id| (*id).to_owned()).collect()),
        window_ms: HOUR_MS,
    }
}

#[test]
fn a_burst_waits_for_nothing_and_the_rest_for_the_refill() {
    assert_eq!(last_begins_ms(0, CREATE_SNAPSHOTS), 0);
    assert_eq!(last_begins_ms(100, CREATE_SNAPSHOTS), 0);
    assert_eq!(last_begins_ms(101, CREATE_SNAPSHOTS), 200);
    assert_eq!(last_begins_ms(1_000, CREATE_SNAPSHOTS), 180_000);
}

/// The doctor's figure is what the runners' reservations come to.
#[test]
fn it_is_what_reserving_call_by_call_comes_to() {
    for calls in [1, 99, 100, 101, 250, 2_000] {
        let (mut bucket, mut last_ms) = (Bucket::default(), 0);
        let now_ms = 1_767_225_600_000;
        for _ in 0..calls {
            let (at_ms, after) = bucket.reserve(CREATE_SNAPSHOTS, now_ms);
            (bucket, last_ms) = (after, at_ms - now_ms);
        }
        assert_eq!(last_begins_ms(calls, CREATE_SNAPSHOTS), last_ms, "{calls}");
    }
}

#[test]
fn firings_of_one_time_ask_together() {
    let all = [
        firing("b", NIGHT, 90, &["vol-1", "vol-2"]),
        firing("a", NIGHT, 60, &["vol-2", "vol-3"]),
        firing("c", NOON, 120, &["vol-1"]),
        firing("nobody", NOON, 0, &[]),
    ];
    let [night, noon] = <[Peak; 2]>::try_from(peaks(&all, CREATE_SNAPSHOTS)).unwrap();
    assert_eq!((night.at.as_str(), night.runs, night.last_begins_ms), (NIGHT, 150, 10_000));
    assert_eq!(night.policies, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(night.shared, BTreeSet::from(["vol-2".to_owned()]));
    assert_eq!((noon.runs, noon.last_begins_ms, noon.shared.len()), (120, 4_000, 0));
    assert_eq!(noon.policies.len(), 1);
}

#[test]
fn the_shortest_start_window_is_what_counts() {
    let short = Firing { window_ms: 60_000, ..firing("short", NIGHT, 100, &[]) };
    let fits = |long: u64| {
        let all = [short.clone(), firing("long", NIGHT, long, &[])];
        peaks(&all, CREATE_SNAPSHOTS)[0].fits()
    };
    assert!(fits(299));
    assert!(!fits(300));
    // 100 at once and 5 a second fill an hour with 18,100 runs.
    assert!(peaks(&[firing("a", NIGHT, 18_099, &[])], CREATE_SNAPSHOTS)[0].fits());
    assert!(!peaks(&[firing("a", NIGHT, 18_100, &[])], CREATE_SNAPSHOTS)[0].fits());
}
