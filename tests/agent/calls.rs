//! Every call and its one right answer: on three filesystems, repeated, too late, with
//! the wrong execution id.

use std::time::Duration;

use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, answer, id};

const ALL: [&str; 3] = ["btrfs", "ext4", "xfs"];

#[test]
fn a_hold_on_three_filesystems_and_what_its_receipts_say() {
    let Some(bed) = Bed::with(&ALL) else { return };
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "20s"]);
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    let mut types: Vec<&str> = pre.receipt.frozen.iter().map(|one| one.fs.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ALL);
    let hold = pre.receipt.hold.unwrap();
    assert!(!hold.unbroken, "before its end no hold is proven");
    assert_eq!((hold.released_at_ms, hold.deadline_ms), (None, 20_000));
    assert_eq!(pre.receipt.left_out[0].why, "root filesystem");
    for name in ALL {
        assert!(bed.is_frozen(name), "{name}");
    }
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    bed.all_thawed(&ALL);
    let ended = post.receipt.hold.unwrap();
    assert!(ended.unbroken);
    assert_eq!(ended.frozen_at_ms, hold.frozen_at_ms);
    // Three probes of a frozen filesystem lie in between, 300 ms each.
    let held = ended.released_at_ms.unwrap() - ended.frozen_at_ms;
    assert!((900..5_000).contains(&held), "{held}");
    assert!(ended.frozen_ms.unwrap() >= held);
}

#[test]
fn scenario_12_every_call_twice_and_with_the_wrong_execution_id() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let (ours, other) = (id(1), id(2));
    let early = bed.agent(&["post-script", "--execution-id", &ours]);
    assert_eq!((early.code, early.receipt.state), (205, HoldState::NothingHeld));

    let first = bed.agent(&["pre-script", "--execution-id", &ours]);
    let again = bed.agent(&["pre-script", "--execution-id", &ours]);
    assert_eq!((first.code, again.code), (0, 0));
    assert_eq!(first.receipt, again.receipt, "the same hold, the same answer");
    let second = bed.agent(&["pre-script", "--execution-id", &other]);
    assert_eq!((second.code, second.receipt.state), (204, HoldState::AlreadyHeld));
    let wrong = bed.agent(&["post-script", "--execution-id", &other]);
    assert_eq!((wrong.code, wrong.receipt.state), (205, HoldState::NothingHeld));
    assert!(bed.is_frozen("ext4"), "none of this touched the hold");

    let post = bed.agent(&["post-script", "--execution-id", &ours]);
    let repeated = bed.agent(&["post-script", "--execution-id", &ours]);
    assert_eq!(
        (post.code, post.receipt.clone()),
        (0, repeated.receipt),
        "a lost answer is told again"
    );
    let third = bed.agent(&["pre-script", "--execution-id", &ours]);
    assert_eq!((third.code, third.receipt.state), (206, HoldState::Refused));
    bed.all_thawed(&["ext4"]);
}

#[test]
fn scenario_12_two_pre_scripts_at_once_make_one_hold() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.arm();
    for round in 0..5 {
        let ids = [id(2 * round), id(2 * round + 1)];
        let start =
            |id: &String| bed.command(&["pre-script", "--execution-id", id]).spawn().unwrap();
        let both = ids.each_ref().map(start);
        let mut codes = both.map(|child| answer(&child.wait_with_output().unwrap()).code);
        let winner = usize::from(codes[1] == 0);
        codes.sort_unstable();
        assert_eq!(codes, [0, 204]);
        assert_eq!(bed.agent(&["post-script", "--execution-id", &ids[winner]]).code, 0);
    }
}

#[test]
fn scenario_10_a_post_script_after_the_auto_thaw_is_told_the_interval() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "1s"]);
    let frozen_at = pre.receipt.hold.unwrap().frozen_at_ms;
    assert!(bed.is_frozen("ext4"));
    bed.thawed_after("ext4", Duration::from_millis(1_500));
    bed.thawed_after("xfs", Duration::from_millis(500));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::AutoThawed));
    let hold = post.receipt.hold.unwrap();
    assert!(!hold.unbroken);
    assert_eq!(hold.frozen_at_ms, frozen_at);
    let held = hold.released_at_ms.unwrap() - frozen_at;
    assert!((700..=1_010).contains(&held), "the deadline counts from before the freeze: {held}");
}

#[test]
fn scenario_11_the_deadline_of_one_run_does_not_touch_the_next() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let (first, second) = (id(1), id(2));
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &first, "--deadline", "1s"]).code, 0);
    assert_eq!(bed.agent(&["post-script", "--execution-id", &first]).code, 0);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &second]).code, 0);
    std::thread::sleep(Duration::from_millis(1_300));
    assert!(bed.is_frozen("ext4"), "the first deadline has passed");
    let late = bed.agent(&["post-script", "--execution-id", &first]);
    assert_eq!(late.code, 0, "it tells of its own hold");
    assert!(bed.is_frozen("ext4"));
    let post = bed.agent(&["post-script", "--execution-id", &second]);
    assert!(post.receipt.hold.unwrap().unbroken);
}

#[test]
fn an_operators_thaw_ends_the_hold_and_the_post_script_is_told() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let id = id(1);
    let nothing = bed.agent(&["thaw"]);
    assert_eq!((nothing.code, nothing.receipt.state), (205, HoldState::NothingHeld));
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    let status = bed.agent(&["status", "--json"]);
    assert_eq!((status.code, status.receipt.state), (0, HoldState::Held));
    let thaw = bed.agent(&["thaw"]);
    assert_eq!((thaw.code, thaw.receipt.state), (0, HoldState::Broken));
    bed.all_thawed(&["ext4"]);
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken));
    assert!(post.receipt.reason.contains("operator"), "{}", post.receipt.reason);
}

#[test]
fn in_a_pid_namespace_of_its_own() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let (whole, broken) = (id(1), id(2));
    // What the shell starts ends with it: the namespace goes when its first process does.
    let script = format!(
        "a() {{ \"$0\" \"$@\"; }}; a pre-script --execution-id {whole} && a post-script --execution-id {whole}; \
         a pre-script --execution-id {broken}; kill -9 \"$(sed 's/.*\"holder\",\"pid\":\\([0-9]*\\).*/\\1/' \
         /run/stillpoint/run-{broken}.json)\"; a post-script --execution-id {broken}"
    );
    let agent = bed.command(&[]).get_program().to_owned();
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).arg(agent);
    let output = shell.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let find = |line: &str| stillpoint_wire::receipt::find(line).unwrap().unwrap();
    let receipts: Vec<_> = text.lines().map(find).collect();
    let codes: Vec<u8> = receipts.iter().map(|receipt| receipt.code).collect();
    assert_eq!(codes, [0, 0, 0, 203], "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(receipts[1].hold.as_ref().unwrap().unbroken);
    bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn status_for_a_person_names_the_hold() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    let output = bed.command(&["status"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("held") && text.contains(&id) && text.contains("ext4"), "{text}");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
}

#[test]
fn scenario_13_state_that_is_not_on_tmpfs_or_not_roots_is_refused() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let id = id(1);
    std::fs::create_dir("/run/stillpoint").unwrap();
    std::os::unix::fs::chown("/run/stillpoint", Some(65_534), None).unwrap();
    let foreign = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!((foreign.code, foreign.receipt.state), (206, HoldState::Refused));
    std::fs::remove_dir("/run/stillpoint").unwrap();
    let folder = bed.path("ext4").join("state");
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir("/run/stillpoint").unwrap();
    super::bed::run("mount", &["--bind", folder.to_str().unwrap(), "/run/stillpoint"]);
    let disk = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!(disk.code, 206);
    assert!(disk.receipt.reason.contains("tmpfs"), "{}", disk.receipt.reason);
    bed.all_thawed(&["ext4"]);
}
