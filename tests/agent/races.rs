//! The post-script and the auto-thaw at the same instant.

use std::thread;
use std::time::{Duration, Instant};

use stillpoint_agent::page::{Fs, Page};
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, answer, id};

const ROUNDS_DEFAULT: u32 = 1_000;
/// Each waits most of the shortest deadline; so many at once keep a small machine busy.
const BEDS: u32 = 25;
/// The longest that a call takes from its start to its request.
const LEAD: Duration = Duration::from_millis(20);
/// The rounds of one bed are spread over the time around the deadline in these steps.
const STEPS: u32 = 25;
const STEP: Duration = Duration::from_micros(1_200);

/// `STILLPOINT_RACE_ROUNDS` asks for another number of them.
fn rounds() -> u32 {
    let setting = std::env::var("STILLPOINT_RACE_ROUNDS").ok();
    setting.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS_DEFAULT)
}

fn boottime() -> Duration {
    Duration::from_nanos(stillpoint_agent::sys::boottime_ns())
}

#[test]
fn scenario_10_a_post_script_that_races_the_auto_thaw_gets_one_true_answer() {
    let each = rounds().div_ceil(BEDS);
    // A mount namespace belongs to a thread, so every bed has one.
    let beds: Vec<_> = (0..BEDS).map(|_| thread::spawn(move || races(each))).collect();
    let (mut released, mut thawed) = (0, 0);
    for bed in beds {
        let Some(counts) = bed.join().unwrap() else { return };
        released += counts[0];
        thawed += counts[1];
    }
    eprintln!("{} races: {released} released, {thawed} auto-thawed", each * BEDS);
    assert!(released > 0 && thawed > 0, "no race: {released} {thawed}");
}

/// Some rounds in a bed: how many were released, and how many auto-thawed.
fn races(rounds: u32) -> Option<[u32; 2]> {
    let bed = Bed::with(&["ext4", "btrfs"])?;
    bed.arm_for(Duration::from_secs(60) + Duration::from_secs(4) * rounds);
    let mut counts = [0; 2];
    for round in 0..rounds {
        counts[race(&bed, round)] += 1;
    }
    Some(counts)
}

/// One race; 0 when the post-script has won it.
fn race(bed: &Bed, round: u32) -> usize {
    let id = id(round);
    let pre = bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "1s"]);
    assert_eq!(pre.code, 0, "{pre:?}");
    // The page tells when the deadline is.
    let page = std::fs::File::open(format!("/run/stillpoint/run-{id}.page")).unwrap();
    let page = Page::open(&page, false).unwrap();
    let deadline = Duration::from_nanos(page.deadline_ns());
    let start = deadline - LEAD + STEP * (round % STEPS);
    thread::sleep(start.saturating_sub(boottime()));
    let begun = Instant::now();
    let post = answer(&bed.command(&["post-script", "--execution-id", &id]).output().unwrap());
    let hold = post.receipt.hold.clone().unwrap();
    let ended = Duration::from_nanos(page.ended_ns());
    for index in 0..page.count() {
        // A second thaw of the same filesystem would have found it not frozen.
        assert_eq!(page.fs(index), Fs::Thawed);
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    match (post.code, post.receipt.state) {
        (0, HoldState::Released) => {
            assert!(hold.unbroken);
            // A loaded machine may wake everybody a little late, but then everybody.
            assert!(ended < deadline + Duration::from_millis(500), "{ended:?} {deadline:?}");
            0
        }
        (203, HoldState::AutoThawed) => {
            assert!(!hold.unbroken);
            assert!(ended >= deadline - Duration::from_millis(1), "{ended:?} {deadline:?}");
            1
        }
        other => panic!("round {round}: {other:?} {post:?}"),
    }
}
