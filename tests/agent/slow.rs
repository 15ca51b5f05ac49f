//! A filesystem on a device as slow as a volume of gp3, and a writer that times itself.
//!
//! The limit is the block controller's of cgroup v1. It belongs to the device's number,
//! and the next user of the number would inherit it, so these loop devices have numbers
//! that nobody else uses and are limited only while they are here.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use stillpoint_agent::sys::boottime_ns;
use stillpoint_wire::receipt::Hold;

use super::bed::{self, Bed, run};

const LIMITS: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
const FIRST_LOOP: u32 = 780;

/// The kernel begins to write back when a device's dirty pages pass its share; a device
/// that has written little has next to none, unless it is given one.
const SHARE_PERCENT: u32 = 18;

pub(super) struct Slow {
    number: u32,
    pub(super) point: PathBuf,
    /// Whether dirty data stays dirty until somebody flushes it.
    pub(super) has_share: bool,
}

impl Slow {
    /// A filesystem of `mebibytes` with a limit in bytes a second; `None`, with the reason,
    /// where devices cannot be limited.
    pub(super) fn new(bed: &Bed, fs: &str, mebibytes: u64, limit: u64) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new(LIMITS).exists() {
            bed::skip("no block controller of cgroup v1 to slow a device down with");
            return None;
        }
        let number = FIRST_LOOP + COUNT.fetch_add(1, Ordering::Relaxed);
        let (image, device) =
            (bed.base.join(format!("{number}.img")), format!("/dev/loop{number}"));
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        if !Path::new(&device).exists() {
            run("mknod", &[&device, "b", "7", &number.to_string()]);
        }
        run("losetup", &[&device, image.to_str().unwrap()]);
        let options: &[&str] = if fs == "ext4" {
            &["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"]
        } else {
            &["-q", "-K"]
        };
        let mut make = Command::new(format!("mkfs.{fs}"));
        let made = make.args(options).arg(&device).stdout(Stdio::null()).status();
        assert!(made.unwrap().success());
        let point = bed.path(&number.to_string());
        fs::create_dir(&point).unwrap();
        run("mount", &[&device, point.to_str().unwrap()]);
        bed.watch(&point);
        bed.remove_loop(number);
        let has_share = fs::write(share(number), format!("{SHARE_PERCENT}\n")).is_ok();
        if !has_share {
            eprintln!("the shares are taken: the kernel may write back before the agent does");
        }
        let slow = Self { number, point, has_share };
        slow.limit(limit);
        Some(slow)
    }

    fn limit(&self, bytes: u64) {
        let _ = fs::write(LIMITS, format!("7:{} {bytes}\n", self.number));
    }

    /// Makes that much dirty, overwriting what is on the device already.
    pub(super) fn soil(&self, mebibytes: usize) -> File {
        let path = self.point.join("soil");
        self.limit(0);
        let chunk = vec![1; 1 << 20];
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.unwrap();
        for round in 0..2 {
            (0..mebibytes as u64).for_each(|at| file.write_all_at(&chunk, at << 20).unwrap());
            if round == 0 {
                file.sync_all().unwrap();
                self.limit(125_000_000);
            }
        }
        file
    }
}

/// Where the kernel keeps a device's share of what may be dirty.
fn share(number: u32) -> String {
    format!("/sys/class/bdi/7:{number}/min_ratio")
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.limit(0);
        let _ = fs::write(share(self.number), "0\n");
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
        let _ = Command::new("losetup").arg("-d").arg(format!("/dev/loop{}", self.number)).status();
    }
}

/// A thread that writes until it is told to stop, and remembers how long each call took.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<[u64; 2]>>>,
}

impl Writer {
    /// Writes `bytes` at a time over the first `span` bytes of a file of its own.
    pub(super) fn start(
        folder: &Path,
        name: &str,
        bytes: usize,
        span: u64,
        rest: Duration,
    ) -> Self {
        let path = folder.join(name);
        let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (data, syncs) = (vec![2; bytes], bytes <= 4_096);
        let thread = std::thread::spawn(move || {
            let (mut calls, mut at) = (Vec::new(), 0);
            while !told.load(Ordering::Relaxed) {
                let begun = boottime_ns();
                file.write_all_at(&data, at).unwrap();
                if syncs {
                    file.sync_data().unwrap();
                }
                calls.push([begun, boottime_ns()]);
                at = (at + bytes as u64) % span;
                std::thread::sleep(rest);
            }
            calls
        });
        Self { stop, thread: Some(thread) }
    }

    /// Begin and end of every call, in nanoseconds of the boot clock.
    pub(super) fn end(mut self) -> Vec<[u64; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The longest call that met the hold, less the hold itself.
pub(super) fn added_stall(calls: &[[u64; 2]], hold: &Hold) -> Duration {
    let (from, to) = (hold.frozen_at_ms * 1_000_000, hold.released_at_ms.unwrap() * 1_000_000);
    let met = calls.iter().filter(|[begun, ended]| *ended > from && *begun < to);
    let longest = met.map(|[begun, ended]| ended - begun).max().expect("a call that was held");
    Duration::from_nanos(longest.saturating_sub(to - from))
}

/// The call that nine of ten were shorter than, among those that ended in a time.
pub(super) fn ninetieth(calls: &[[u64; 2]], from_ns: u64, to_ns: u64) -> Duration {
    let within = calls.iter().filter(|[_, ended]| (from_ns..to_ns).contains(ended));
    let mut lengths: Vec<u64> = within.map(|[begun, ended]| ended - begun).collect();
    lengths.sort_unstable();
    Duration::from_nanos(lengths.get(lengths.len() * 9 / 10).copied().unwrap_or(0))
}
