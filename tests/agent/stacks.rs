//! Freezes of many filesystems, and of one that lies on another which is frozen.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use stillpoint_agent::page::{Fs, Page};
use stillpoint_agent::state::State;
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, answer, id, kill, run};
use super::etc;

const FIFREEZE: libc::Ioctl = 0xC004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;
const MANY: usize = 63;

fn ioctl(file: &File, request: libc::Ioctl) -> bool {
    // SAFETY: neither request uses its argument; the file is open.
    unsafe { libc::ioctl(file.as_raw_fd(), request, 0) == 0 }
}

fn page(id: &str) -> Page {
    let begun = Instant::now();
    loop {
        if let Some(page) = State::existing().and_then(|state| state.page(id, false).ok())
            && page.deadline_ns() > 0
        {
            return page;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the holder does not come so far");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Two stacks; the outer filesystem of the first is frozen by somebody else after the
/// flush, so that freezing the inner one hangs while the kernel syncs it.
fn a_freeze_stuck_in_its_sync_stage(the_holder_is_killed: bool) {
    let Some(bed) = Bed::new() else { return };
    bed.add_sized("ext4", "one", 300);
    bed.add_sized("ext4", "two", 300);
    bed.add_on(&bed.path("one").join("in.img"), "ext4", "in-one");
    bed.add_on(&bed.path("two").join("in.img"), "ext4", "in-two");
    let (id, begun) = (id(1), Instant::now());
    let mut call = bed.command(&["pre-script", "--execution-id", &id, "--timeout", "6s"]);
    let call = call.env("STILLPOINT_FAIL_POINT", "holder.prepared=1000").spawn().unwrap();
    let page = page(&id);
    fs::write(bed.path("in-one").join("dirty"), vec![1; 4 << 20]).unwrap();
    let outer = File::open(bed.path("one")).unwrap();
    assert!(ioctl(&outer, FIFREEZE));
    while !(0..page.count()).any(|index| page.fs(index) == Fs::Frozen) {
        assert!(begun.elapsed() < Duration::from_secs(6), "the other stack is never frozen");
        std::thread::sleep(Duration::from_millis(5));
    }
    if the_holder_is_killed {
        kill(bed.pids(&id, "holder")[0], libc::SIGKILL);
    }
    let pre = answer(&call.wait_with_output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(6), "within the timeout");
    assert_eq!((pre.code, pre.receipt.state), (201, HoldState::Failed), "{pre:?}");
    assert!(pre.receipt.reason.contains("in-one"), "{}", pre.receipt.reason);
    bed.all_thawed(&["two", "in-two"]);
    assert!(bed.is_frozen("one"), "somebody else's freeze is theirs");
    let other = bed.agent(&["pre-script", "--execution-id", &super::bed::id(2)]);
    assert_eq!(other.code, 204, "the first hold is still being undone: {other:?}");
    assert!(ioctl(&outer, FITHAW));
    bed.thawed_after("in-one", Duration::from_millis(500));
    fs::write(bed.path("in-one").join("after"), "written").unwrap();
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (205, HoldState::NothingHeld), "{post:?}");
}

#[test]
fn scenario_3_a_freeze_stuck_in_its_sync_stage_is_thawed_when_the_kernel_lets_go() {
    a_freeze_stuck_in_its_sync_stage(false);
}

#[test]
fn scenario_3_a_holder_killed_in_the_sync_stage_leaves_nothing_frozen() {
    a_freeze_stuck_in_its_sync_stage(true);
}

/// Somebody else freezes what five of ours lie on, and no thaw of those five returns: the two
/// sentinels have two threads each.
#[test]
fn scenario_3_sentinels_whose_threads_are_all_kept_thaw_the_rest_with_more() {
    let Some(bed) = Bed::new() else { return };
    etc::cover(&bed);
    bed.add_sized("ext4", "below", 300);
    let kept = ["kept-1", "kept-2", "kept-3", "kept-4", "kept-5"];
    for name in kept {
        bed.add_sized_on(&bed.path("below").join(format!("{name}.img")), "ext4", name, 40);
    }
    // The first of all and the last, so that no order of thawing spares the sentinels.
    bed.add("ext4", "a-free");
    bed.add("ext4", "z-free");
    etc::settings(&format!("freeze.leave_out = [{:?}]\n", bed.path("below")));
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "60s"]);
    assert_eq!((pre.code, page(&id).count()), (0, 7), "{pre:?}");
    let below = File::open(bed.path("below")).unwrap();
    assert!(ioctl(&below, FIFREEZE));
    kill(bed.pids(&id, "holder")[0], libc::SIGKILL);
    for name in ["a-free", "z-free"] {
        bed.thawed_after(name, Duration::from_secs(3));
    }
    assert!(kept.iter().all(|name| bed.is_frozen(name)), "nothing kept a thread");
    assert!(ioctl(&below, FITHAW));
    for name in kept {
        bed.thawed_after(name, Duration::from_secs(1));
    }
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
}

#[test]
fn scenario_20_sixty_four_filesystems_and_the_last_one_fails() {
    let Some(bed) = Bed::new() else { return };
    bed.add_sized("ext4", "all", 64);
    let names: Vec<String> = (0..MANY).map(|number| format!("all/{number:02}")).collect();
    names.iter().for_each(|name| drop(bed.add_sized("ext4", name, 8)));
    let whole = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((whole.code, page(&id(1)).count()), (0, MANY + 1), "{whole:?}");
    let times: Vec<[u64; 3]> = (0..=MANY).map(|index| page(&id(1)).times_ns(index)).collect();
    let first = times.iter().map(|[begun, ..]| *begun).min().unwrap();
    let skew = Duration::from_nanos(times.iter().map(|[_, at, _]| *at).max().unwrap() - first);
    eprintln!("{} filesystems: from the first freeze to the last {skew:.1?}", MANY + 1);
    assert!(skew < Duration::from_secs(1), "{skew:?}");
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    let all: Vec<&str> = names.iter().map(String::as_str).chain(["all"]).collect();
    bed.all_thawed(&all);

    // The one below all others comes last, and is frozen by somebody else already.
    let theirs = File::open(bed.path("all")).unwrap();
    assert!(ioctl(&theirs, FIFREEZE));
    let failed = bed.agent(&["pre-script", "--execution-id", &id(2)]);
    assert_eq!((failed.code, failed.receipt.state), (204, HoldState::AlreadyHeld), "{failed:?}");
    let rolled_back = (0..=MANY).filter(|index| page(&id(2)).fs(*index) == Fs::Thawed).count();
    assert_eq!(rolled_back, MANY, "each of them was frozen, and is thawed");
    let free: Vec<&str> = names.iter().map(String::as_str).collect();
    bed.all_thawed(&free);
    assert!(ioctl(&theirs, FITHAW), "nobody of ours had thawed theirs");
}

#[test]
fn scenario_21_a_container_that_writes_through_an_overlay_waits_and_goes_on() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    for name in ["ext4/upper", "ext4/work", "lower", "merged"] {
        fs::create_dir(bed.path(name)).unwrap();
    }
    fs::write(bed.path("lower").join("file"), "below").unwrap();
    let path = |name: &str| bed.path(name).to_str().unwrap().to_owned();
    let (lower, upper, work) = (path("lower"), path("ext4/upper"), path("ext4/work"));
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    run("mount", &["-t", "overlay", "-o", &options, "overlay", &path("merged")]);
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!((pre.code, pre.receipt.frozen.len()), (0, 1), "{pre:?}");
    let file = bed.path("merged").join("file");
    let container = std::thread::spawn(move || fs::write(file, "written by a container"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!container.is_finished(), "the overlay's upper folder is frozen");
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    container.join().unwrap().unwrap();
    bed.all_thawed(&["ext4", "merged"]);
}
