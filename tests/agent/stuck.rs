//! Freezes that somebody else has made, undoes, or does not let return.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stillpoint_agent::crew::{Crew, Order};
use stillpoint_agent::page::{Fs, Page};
use stillpoint_agent::sys;
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, answer, id, kill};

const FIFREEZE: libc::Ioctl = 0xC004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

fn ioctl(file: &File, request: libc::Ioctl) -> bool {
    // SAFETY: neither request uses its argument; the file is open.
    unsafe { libc::ioctl(file.as_raw_fd(), request, 0) == 0 }
}

#[test]
fn scenario_8_somebody_elses_freeze_is_left_to_them() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    bed.arm();
    let theirs = File::open(bed.path("ext4")).unwrap();
    assert!(ioctl(&theirs, FIFREEZE));
    let pre = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((pre.code, pre.receipt.state), (204, HoldState::AlreadyHeld), "{pre:?}");
    assert!(pre.receipt.reason.contains("ext4"), "{}", pre.receipt.reason);
    bed.all_thawed(&["btrfs", "xfs"]);
    assert!(bed.is_frozen("ext4"), "theirs is theirs");
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!(post.code, 205);
    assert!(ioctl(&theirs, FITHAW), "nobody had thawed it");
    assert_eq!(
        bed.agent(&["pre-script", "--execution-id", &id(1)]).code,
        0,
        "a failed pre-script may be repeated"
    );
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 0);
}

#[test]
fn scenario_8_a_filesystem_thawed_by_somebody_else_breaks_the_hold() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    assert!(ioctl(&File::open(bed.path("ext4")).unwrap(), FITHAW));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    assert!(post.receipt.reason.contains("ext4"), "{}", post.receipt.reason);
    assert!(!post.receipt.hold.unwrap().unbroken);
    bed.all_thawed(&["btrfs", "ext4", "xfs"]);
}

#[test]
fn scenario_10_each_filesystem_is_thawed_once_and_never_somebody_elses_freeze_after_ours() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    bed.arm();
    for round in 0..4 {
        let id = id(round);
        // Holder and sentinel both want to thaw at the deadline, the sentinel late.
        let call = ["pre-script", "--execution-id", &id, "--deadline", "1s"];
        assert_eq!(answer(&bed.failing("sentinel.before-thaw=200", &call)).code, 0);
        let theirs = File::open(bed.path("ext4")).unwrap();
        let begun = Instant::now();
        while !ioctl(&theirs, FIFREEZE) {
            assert!(begun.elapsed() < Duration::from_secs(3), "it is never thawed");
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_millis(400));
        assert!(
            ioctl(&theirs, FITHAW),
            "round {round}: somebody of ours thawed a freeze that was not ours"
        );
        assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 203);
    }
}

#[test]
fn scenario_10_a_thaw_that_another_process_has_claimed_is_not_done_again() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    bed.arm();
    let words = File::options().read(true).write(true).create_new(true).open(bed.base.join("page"));
    let page = Page::create(&words.unwrap(), 1).unwrap();
    let files = Arc::new(vec![File::open(bed.path("ext4")).unwrap()]);
    let crew = Crew::start(page, &files, &Arc::new(sys::eventfd().unwrap()), 1, 1).unwrap();
    let thaw = || {
        assert!(crew.order(0, Order::Thaw));
        while crew.is_busy(0) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    assert!(ioctl(&files[0], FIFREEZE));
    assert!(page.change(0, Fs::Idle, Fs::Frozen) && page.change(0, Fs::Frozen, Fs::Thawing(0)));
    thaw();
    assert!(bed.is_frozen("ext4"), "the claim is the other's");
    assert!(page.change(0, Fs::Thawing(0), Fs::Frozen));
    thaw();
    assert_eq!(page.fs(0), Fs::Thawed);
    bed.all_thawed(&["ext4"]);
}

/// A writer that the kernel lets hold a freeze in its first stage: it has begun to write
/// and waits for a pipe that nobody fills.
struct Blocker {
    feed: Option<File>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Blocker {
    fn new(folder: &Path) -> Self {
        let mut ends = [0; 2];
        // SAFETY: the pointer is to two live integers; both ends become files of ours.
        let (from, feed) = unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
        };
        let to = File::create(folder.join("blocked")).unwrap();
        let thread = std::thread::spawn(move || {
            let null = std::ptr::null_mut();
            // SAFETY: both files are open and no offset is passed.
            unsafe { libc::splice(from.as_raw_fd(), null, to.as_raw_fd(), null, 4_096, 0) };
        });
        std::thread::sleep(Duration::from_millis(200));
        Self { feed: Some(feed), thread: Some(thread) }
    }

    fn let_go(&mut self) {
        drop(self.feed.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[test]
fn scenario_2_a_freeze_that_does_not_return_is_rolled_back_and_thawed_when_it_does() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    bed.arm();
    let mut blocker = Blocker::new(&bed.path("ext4"));
    let begun = Instant::now();
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id, "--timeout", "4s"]);
    assert!(begun.elapsed() < Duration::from_secs(4), "within the timeout");
    assert_eq!((pre.code, pre.receipt.state), (201, HoldState::Failed), "{pre:?}");
    assert!(pre.receipt.reason.contains("not thawed yet") && pre.receipt.reason.contains("ext4"));
    bed.all_thawed(&["btrfs", "xfs"]);
    let early = bed.agent(&["post-script", "--execution-id", &id, "--timeout", "4s"]);
    assert_eq!(early.code, 202, "it is not over: {early:?}");
    let other = bed.agent(&["pre-script", "--execution-id", &super::bed::id(2)]);
    assert_eq!(other.code, 204, "the first hold is still being undone");
    blocker.let_go();
    bed.thawed_after("ext4", Duration::from_millis(100));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (205, HoldState::NothingHeld), "{post:?}");
}

#[test]
fn scenario_2_a_holder_killed_inside_a_freeze_that_does_not_return() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.arm();
    let mut blocker = Blocker::new(&bed.path("ext4"));
    let id = id(1);
    let call =
        bed.command(&["pre-script", "--execution-id", &id, "--deadline", "2s"]).spawn().unwrap();
    while !std::path::Path::new(&format!("/run/stillpoint/run-{id}.page")).exists()
        || !bed.is_frozen("xfs")
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(bed.pids(&id, "holder")[0], libc::SIGKILL);
    bed.thawed_after("xfs", Duration::from_secs(4));
    let pre = answer(&call.wait_with_output().unwrap());
    assert_eq!(pre.code, 201, "{pre:?}");
    // The killed freezer completes its freeze now, and dies: frozen by nobody.
    blocker.let_go();
    bed.thawed_after("ext4", Duration::from_millis(200));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (205, HoldState::NothingHeld), "{post:?}");
}

#[test]
fn scenario_9_unmounting_during_the_hold_does_not_hide_a_filesystem_from_the_thaw() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    let side = bed.path("side");
    std::fs::create_dir(&side).unwrap();
    super::bed::run(
        "mount",
        &["--bind", bed.path("ext4").to_str().unwrap(), side.to_str().unwrap()],
    );
    super::bed::run("umount", &["-l", bed.path("ext4").to_str().unwrap()]);
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!(post.code, 0, "{post:?}");
    bed.all_thawed(&["side", "xfs"]);
}

#[test]
fn scenario_9_a_filesystem_that_appears_during_the_hold_is_not_touched() {
    let Some(bed) = Bed::with(&["xfs"]) else { return };
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    let new = bed.add("ext4", "a-first");
    std::fs::write(new.join("file"), "written").unwrap();
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.frozen.len()), (0, 1));
    bed.all_thawed(&["a-first", "xfs"]);
}
