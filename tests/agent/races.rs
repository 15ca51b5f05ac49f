//! The post-script and the auto-thaw at the same instant.

use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, answer, id};

const ROUNDS_DEFAULT: u32 = 50;
/// The longest that a call takes from its start to its request.
const LEAD: Duration = Duration::from_millis(12);

/// `STILLPOINT_RACE_ROUNDS` asks for more of them.
fn rounds() -> u32 {
    let setting = std::env::var("STILLPOINT_RACE_ROUNDS").ok();
    setting.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS_DEFAULT)
}

fn boottime() -> Duration {
    Duration::from_nanos(stillpoint_agent::sys::boottime_ns())
}

#[test]
fn scenario_10_a_post_script_that_races_the_auto_thaw_gets_one_true_answer() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let rounds = rounds();
    bed.arm_for(Duration::from_secs(60) + Duration::from_secs(2) * rounds);
    let (mut released, mut thawed) = (0, 0);
    for round in 0..rounds {
        let id = id(round);
        let pre = bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "1s"]);
        assert_eq!(pre.code, 0, "{pre:?}");
        // The page tells when the deadline is; rounds scan the milliseconds around it.
        let page = std::fs::File::open(format!("/run/stillpoint/run-{id}.page")).unwrap();
        let page = stillpoint_agent::page::Page::open(&page, false).unwrap();
        let deadline = Duration::from_nanos(page.deadline_ns());
        let start = deadline - LEAD + Duration::from_micros(u64::from(round % 25) * 600);
        std::thread::sleep(start.saturating_sub(boottime()));
        let begun = Instant::now();
        let post = answer(&bed.command(&["post-script", "--execution-id", &id]).output().unwrap());
        let hold = post.receipt.hold.clone().unwrap();
        let ended = Duration::from_nanos(page.ended_ns());
        match (post.code, post.receipt.state) {
            (0, HoldState::Released) => {
                released += 1;
                assert!(hold.unbroken);
                // A loaded machine may wake everybody a little late, but then everybody.
                assert!(ended < deadline + Duration::from_millis(100), "{ended:?} {deadline:?}");
            }
            (203, HoldState::AutoThawed) => {
                thawed += 1;
                assert!(!hold.unbroken);
                assert!(ended >= deadline - Duration::from_millis(1), "{ended:?} {deadline:?}");
            }
            other => panic!("round {round}: {other:?} {post:?}"),
        }
        for index in 0..page.count() {
            // A second thaw of the same filesystem would have found it not frozen.
            assert_eq!(page.fs(index), stillpoint_agent::page::Fs::Thawed);
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        bed.all_thawed(&["ext4", "xfs"]);
    }
    eprintln!("{rounds} races: {released} released, {thawed} auto-thawed");
    assert!(rounds < 25 || (released > 0 && thawed > 0), "no race: {released} {thawed}");
}
