//! What is dirty is written before the freeze, in a way that other writers hardly notice;
//! where that cannot be done in time nothing is frozen.

use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use stillpoint_agent::cli::TIMEOUT_DEFAULT;
use stillpoint_agent::flush::STALL_MAX;
use stillpoint_agent::state::State;
use stillpoint_agent::{pagecache, sys};
use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, id, run, skip};
use super::slow::{Slow, Writer, added_stall, ninetieth};

/// The baseline of an EBS gp3 volume.
const GP3: u64 = 125_000_000;
const SMALL: (usize, u64) = (4_096, 1 << 20);
const DEBUGFS: &str = "/sys/kernel/debug";
const PAUSE: Duration = Duration::from_millis(3);

/// `STILLPOINT_DIRTY_MB` asks for another amount.
fn dirty_mebibytes() -> usize {
    let setting = std::env::var("STILLPOINT_DIRTY_MB").ok();
    setting.and_then(|text| text.parse().ok()).unwrap_or(200)
}

/// Somebody else's `sync`, anywhere on the machine, writes our dirty data in its own way.
const TRIES: u32 = 3;

fn dirty_data_is_written_before(fs: &str, is_open: bool) {
    let Some(bed) = Bed::new() else { return };
    let Some(slow) = Slow::new(&bed, fs, dirty_mebibytes() as u64 + 400, GP3) else { return };
    let gentle = (0..TRIES).any(|number| one_flush(&bed, &slow, fs, number, is_open));
    assert!(gentle || !slow.has_share, "an fsync waited for a fifth of the flush or more");
}

/// One hold with dirty data; whether other writers hardly noticed the flush.
fn one_flush(bed: &Bed, slow: &Slow, fs: &str, number: u32, is_open: bool) -> bool {
    let prober = Writer::start(&slow.point, "probe", SMALL.0, SMALL.1, PAUSE);
    let file = slow.soil(dirty_mebibytes());
    let dirty = pagecache::dirty_bytes(&file, 0, 0);
    let _file = Some(file).filter(|_| is_open);
    let begun = sys::boottime_ns();
    let pre = bed.agent(&["pre-script", "--execution-id", &id(number), "--timeout", "60s"]);
    assert_eq!(pre.code, 0, "{pre:?}");
    std::thread::sleep(Duration::from_millis(200));
    let post = bed.agent(&["post-script", "--execution-id", &id(number)]);
    assert_eq!(post.code, 0, "{post:?}");
    let (calls, hold) = (prober.end(), post.receipt.hold.unwrap());
    let frozen_ns = hold.frozen_at_ms * 1_000_000;
    let flush = Duration::from_nanos(frozen_ns - begun);
    let (stall, fsync) = (added_stall(&calls, &hold), ninetieth(&calls, begun, frozen_ns));
    eprintln!(
        "{fs}: {dirty:?} bytes dirty, flushed in {flush:.1?}, fsync meanwhile {fsync:.0?}, \
         added stall {stall:.1?}"
    );
    assert!(stall < STALL_MAX, "{stall:?}");
    fsync < flush / 5
}

#[test]
fn scenario_16_dirty_data_on_a_slow_ext4_is_written_before_the_freeze() {
    dirty_data_is_written_before("ext4", true);
}

#[test]
fn scenario_16_dirty_data_on_a_slow_xfs_is_written_before_the_freeze() {
    dirty_data_is_written_before("xfs", true);
}

#[test]
fn scenario_16_dirty_data_of_a_file_that_was_closed_is_found_as_well() {
    dirty_data_is_written_before("ext4", false);
}

#[test]
fn scenario_16_a_writer_at_half_the_devices_speed_is_caught_up_with() {
    let Some(bed) = Bed::new() else { return };
    let Some(slow) = Slow::new(&bed, "ext4", 600, GP3) else { return };
    let _soil = slow.soil(60);
    // 64 KiB a millisecond.
    let (bytes, rest) = (64 << 10, Duration::from_millis(1));
    let stream = Writer::start(&slow.point, "stream", bytes, 256 << 20, rest);
    std::thread::sleep(Duration::from_secs(1));
    let pre = bed.agent(&["pre-script", "--execution-id", &id(1), "--timeout", "30s"]);
    assert_eq!(pre.code, 0, "{pre:?}");
    std::thread::sleep(Duration::from_millis(200));
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    let (calls, hold) = (stream.end(), post.receipt.hold.unwrap());
    let stall = added_stall(&calls, &hold);
    eprintln!("half the device's speed: added stall {stall:.1?}");
    assert!(hold.unbroken && stall < STALL_MAX, "{stall:?}");
}

/// With DLM's own timeout, which leaves seven seconds for the flush.
#[test]
fn scenario_16_a_writer_near_the_devices_speed_is_held_shortly_or_refused_in_time() {
    const DEVICE: u64 = 20_000_000;
    const CHUNK: u64 = 64 << 10;
    let Some(bed) = Bed::new() else { return };
    let Some(slow) = Slow::new(&bed, "ext4", 300, DEVICE) else { return };
    for percent in [90, 100, 110] {
        let rest = Duration::from_nanos(CHUNK * 1_000_000_000 / (DEVICE * percent / 100));
        let stream = Writer::start(&slow.point, "stream", 64 << 10, 64 << 20, rest);
        std::thread::sleep(Duration::from_millis(500));
        let (id, begun) = (id(u32::try_from(percent).unwrap()), std::time::Instant::now());
        let pre = bed.agent(&["pre-script", "--execution-id", &id]);
        let took = begun.elapsed();
        assert!(took < TIMEOUT_DEFAULT - Duration::from_secs(1), "{percent} %: {took:?}");
        std::thread::sleep(Duration::from_millis(200));
        let post = bed.agent(&["post-script", "--execution-id", &id]);
        let calls = stream.end();
        if pre.code == 206 {
            assert_eq!((pre.receipt.state, post.code), (HoldState::Refused, 205), "{post:?}");
            eprintln!("{percent} % of the device: refused after {took:.1?}");
            continue;
        }
        assert_eq!((pre.code, post.code), (0, 0), "{percent} %: {pre:?} {post:?}");
        let stall = added_stall(&calls, &post.receipt.hold.unwrap());
        eprintln!("{percent} % of the device: frozen after {took:.1?}, added stall {stall:.1?}");
        assert!(stall <= 2 * STALL_MAX, "{percent} %: {stall:?}");
    }
}

#[test]
fn scenario_16_a_writer_faster_than_the_device_is_refused_and_never_frozen() {
    let Some(bed) = Bed::new() else { return };
    let Some(slow) = Slow::new(&bed, "ext4", 300, 20_000_000) else { return };
    let rest = Duration::from_millis(1);
    let stream = Writer::start(&slow.point, "stream", 256 << 10, 64 << 20, rest);
    std::thread::sleep(Duration::from_millis(500));
    let begun = std::time::Instant::now();
    let pre = bed.agent(&["pre-script", "--execution-id", &id(1), "--timeout", "6s"]);
    assert_eq!((pre.code, pre.receipt.state), (206, HoldState::Refused), "{pre:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(pre.receipt.reason.contains(slow.point.to_str().unwrap()), "{}", pre.receipt.reason);
    eprintln!("refused after {:.1?}: {}", begun.elapsed(), pre.receipt.reason);
    let page = State::existing().unwrap().page(&id(1), false).unwrap();
    assert_eq!(page.times_ns(0), [0; 3], "FIFREEZE was never called");
    drop(stream.end());
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!(post.code, 205, "{post:?}");
}

#[test]
fn a_dry_run_says_what_is_dirty_and_what_that_number_is() {
    let Some(bed) = Bed::new() else { return };
    let Some(slow) = Slow::new(&bed, "ext4", 300, GP3) else { return };
    let _soil = slow.soil(40);
    let said = || {
        let output = bed.command(&["dry-run"]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    // Of this bed alone, as its mounts are.
    run("mount", &["-t", "tmpfs", "none", DEBUGFS]);
    let text = said();
    assert!(text.contains("the whole machine's (Dirty and Writeback of /proc/meminfo)"), "{text}");
    assert!(text.contains("predicted stall beyond the hold"), "{text}");
    assert!(text.contains("at least") || text.contains("does not tell"), "{text}");

    run("mount", &["-t", "debugfs", "debugfs", DEBUGFS]);
    let dev = std::fs::metadata(&slow.point).unwrap().st_dev();
    let number = format!("{}:{}", libc::major(dev), libc::minor(dev));
    if !Path::new(DEBUGFS).join("bdi").join(number).join("wb_stats").exists() {
        return skip("the kernel does not count what waits for a device (Linux 6.10 does)");
    }
    let text = said();
    let told = text.split_once("dirty now: about ").and_then(|(_, rest)| rest.split_once(" MB"));
    let megabytes: u64 = told.and_then(|(number, _)| number.parse().ok()).unwrap_or(0);
    assert!((30..60).contains(&megabytes), "{text}");
}
