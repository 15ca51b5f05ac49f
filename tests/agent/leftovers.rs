//! State that cannot be written, or that is about something else by now; and a client
//! that is killed, with all of its group, at every step.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stillpoint_agent::record::Record;
use stillpoint_agent::state::State;
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, id, kill, run};

const STATE: &str = "/run/stillpoint";
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

/// Fills a filesystem to the last byte.
fn fill(folder: &Path) {
    let chunk = [1; 4_096];
    let mut file = File::create(folder.join("filler")).unwrap();
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    assert!(fs::write(folder.join("one-more"), "x").is_err(), "there is room left");
}

#[test]
fn scenario_13_a_full_state_folder_is_refused_and_nothing_is_frozen() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    fs::create_dir(STATE).unwrap();
    run("mount", &["-t", "tmpfs", "-o", "mode=700,size=64k", "state", STATE]);
    fill(Path::new(STATE));
    let full = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((full.code, full.receipt.state), (206, HoldState::Refused), "{full:?}");
    assert!(full.receipt.reason.contains("space"), "{}", full.receipt.reason);
    bed.all_thawed(&["ext4", "xfs"]);
    fs::remove_file(Path::new(STATE).join("filler")).unwrap();
    let again = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!(again.code, 0, "the same attempt may be repeated: {again:?}");
    // Full by now: the end cannot be written down, and still everything is thawed.
    fill(Path::new(STATE));
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    bed.all_thawed(&["ext4", "xfs"]);
    let next = bed.agent(&["pre-script", "--execution-id", &id(2)]);
    assert_eq!(next.code, 206, "{next:?}");
}

#[test]
fn a_hold_that_is_over_is_passed_over_by_later_calls_and_still_answers() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let post = |number| bed.agent(&["post-script", "--execution-id", &id(number)]);
    for number in [1, 2] {
        assert_eq!(bed.agent(&["pre-script", "--execution-id", &id(number)]).code, 0);
        let state = State::existing().unwrap();
        assert_eq!(state.unsettled(), [id(number)], "only what is held");
        if number == 1 {
            assert_eq!((post(1).code, post(1).code), (0, 0));
            assert_eq!((state.unsettled(), state.executions()), (vec![], vec![id(1)]));
        }
    }
    // Nobody is left who could put it aside: the next call does what is left to do.
    bed.processes(&id(2)).into_iter().for_each(|(_, pid)| kill(pid, libc::SIGKILL));
    assert_eq!(State::existing().unwrap().unsettled(), [id(2)]);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id(3)]).code, 0);
    assert_eq!([post(3).code, post(2).code, post(1).code], [0, 203, 0]);
    // And the one after that puts it aside.
    assert_eq!(State::existing().unwrap().unsettled(), [id(2)]);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id(4)]).code, 0);
    assert_eq!(State::existing().unwrap().unsettled(), [id(4)]);
    assert_eq!([post(4).code, post(2).code], [0, 203]);
}

#[test]
fn the_oldest_holds_are_forgotten_when_there_are_many() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id(1)]).code, 0);
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 0);
    let state = State::existing().unwrap();
    let record = state.load(&id(1)).unwrap();
    for number in 2..=33 {
        // The clock that files are dated by ticks every few milliseconds.
        std::thread::sleep(Duration::from_millis(5));
        state.save(&Record { execution_id: id(number), ..record.clone() }).unwrap();
        state.create_page(&id(number), 1).unwrap();
        state.prune();
        let kept = if number < 33 { number } else { 24 };
        assert_eq!(state.executions().len(), usize::try_from(kept).unwrap());
    }
    let kept: Vec<String> = (10..=33).rev().map(id).collect();
    assert_eq!(state.executions(), kept, "the newest, and in that order");
    assert!(!Path::new(STATE).join(format!("run-{}.over", id(1))).exists());
}

#[test]
fn scenario_13_a_missing_or_read_only_state_folder() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    run("mount", &["-o", "remount,ro", "/run"]);
    let refused = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused), "{refused:?}");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 205);
    run("mount", &["-o", "remount,rw", "/run"]);
    let words = ["pre-script", "--execution-id", &id(1), "--deadline", "2s"];
    assert_eq!(bed.agent(&words).code, 0);
    // Somebody cleans up /run while everything is frozen: the deadline is not a file.
    fs::remove_dir_all(STATE).unwrap();
    let lost = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((lost.code, lost.receipt.state), (205, HoldState::NothingHeld), "{lost:?}");
    bed.thawed_after("ext4", Duration::from_millis(2_500));
}

fn edit(id: &str, change: impl Fn(&mut serde_json::Value)) {
    let path = format!("{STATE}/run-{id}.json");
    let mut record = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
}

/// A hold whose processes have all been killed at once, frozen as they left it.
fn abandoned(bed: &Bed, id: &str) {
    assert_eq!(bed.agent(&["pre-script", "--execution-id", id]).code, 0);
    bed.kill_all(id);
}

#[test]
fn scenario_13_a_recycled_process_id_is_nobody_of_ours() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let mut innocent = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
    abandoned(&bed, &id(1));
    edit(&id(1), |record| {
        for process in record["processes"].as_array_mut().unwrap() {
            process["pid"] = innocent.id().into();
        }
    });
    let status = bed.agent(&["status", "--json"]);
    assert_eq!(status.code, 0);
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    bed.all_thawed(&["ext4"]);
    assert!(innocent.try_wait().unwrap().is_none(), "it was killed");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[test]
fn scenario_13_what_another_boot_has_left_is_history() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let old = id(1);
    abandoned(&bed, &old);
    // The reboot: nothing is frozen after it, whatever the page says.
    // SAFETY: FITHAW ignores its argument; the folder is open.
    let thawed =
        unsafe { libc::ioctl(File::open(bed.path("ext4")).unwrap().as_raw_fd(), FITHAW, 0) };
    assert_eq!(thawed, 0);
    edit(&old, |record| record["bootId"] = "11111111-2222-4333-8444-555555555555".into());
    let post = bed.agent(&["post-script", "--execution-id", &old]);
    assert_eq!((post.code, post.receipt.state), (205, HoldState::NothingHeld), "{post:?}");
    assert_eq!(bed.agent(&["thaw"]).code, 205);
    let status = bed.agent(&["status", "--json"]);
    assert_eq!(status.receipt.state, HoldState::NothingHeld, "{status:?}");
    let fresh = bed.agent(&["pre-script", "--execution-id", &id(2)]);
    assert_eq!(fresh.code, 0, "{fresh:?}");
    let post = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert!(post.receipt.hold.unwrap().unbroken);
}

#[test]
fn scenario_1_the_clients_process_group_is_killed_at_every_step_before_its_answer() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let places = ["armed", "prepared", "before-freeze", "after-freeze", "frozen"];
    for (round, place) in places.iter().enumerate() {
        let id = id(u32::try_from(round).unwrap());
        let mut command = bed.command(&["pre-script", "--execution-id", &id, "--deadline", "5s"]);
        command.env("STILLPOINT_FAIL_POINT", format!("holder.{place}=400")).process_group(0);
        let mut client = command.spawn().unwrap();
        let begun = Instant::now();
        // The holder is at the place, or just before it, when it is known to be at work.
        while bed_processes(&id) < 3 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{place}: it never begins");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(150));
        kill(-i32::try_from(client.id()).unwrap(), libc::SIGKILL);
        client.wait().unwrap();
        for name in ["ext4", "xfs"] {
            bed.thawed_after(name, Duration::from_secs(2));
        }
        let post = bed.agent(&["post-script", "--execution-id", &id]);
        let told = (post.code, post.receipt.state);
        assert_eq!(told, (205, HoldState::NothingHeld), "{place}: {post:?}");
        bed.all_thawed(&["ext4", "xfs"]);
    }
}

fn bed_processes(id: &str) -> usize {
    let text = fs::read_to_string(format!("{STATE}/run-{id}.json")).unwrap_or_default();
    text.matches("startTime").count()
}
