//! A place to freeze things in: a mount namespace of one test thread with its own
//! `/run`, and filesystems on loop devices that nobody else sees.
//!
//! Safety: mounts that are not the bed's are detached from the namespace, the agent is
//! never called before the watchdog holds every filesystem, and the namespace takes
//! mounts and loop devices with it when its last process ends. A bed that finds
//! something frozen at its end fails the test.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use stillpoint_agent::mountinfo;
use stillpoint_wire::receipt::{self, Receipt};

use super::watchdog;

/// No test of a bed lasts longer than this, unless it says so.
const LIMIT: Duration = Duration::from_secs(120);
/// A write that takes longer is taken to be blocked by a freeze.
const BLOCKED: Duration = Duration::from_millis(300);

/// Says that a test, or a part of it, was not run. Past the test runner's capture, which
/// would show it only when the test fails.
pub(super) fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// What one call of the agent gave.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) receipt: Receipt,
}

pub(super) struct Bed {
    pub(super) base: PathBuf,
    mounts: RefCell<Vec<PathBuf>>,
    watchdog: RefCell<Option<Child>>,
    loops: RefCell<Vec<u32>>,
}

impl Bed {
    /// A bed without filesystems; `None`, with the reason on standard error, where
    /// nothing can be mounted.
    pub(super) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // SAFETY: geteuid and unshare take no memory; the namespace is this thread's alone.
        let allowed = unsafe { libc::geteuid() == 0 && libc::unshare(libc::CLONE_NEWNS) == 0 };
        if !allowed {
            skip("needs root to mount filesystems");
            return None;
        }
        // Built before anybody measures time.
        binary();
        run("mount", &["--make-rprivate", "/"]);
        detach_foreign();
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "run", "/run"]);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let base =
            std::env::temp_dir().join(format!("stillpoint-bed-{}-{number}", std::process::id()));
        fs::create_dir(&base).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "mode=755", "bed", base.to_str().unwrap()]);
        Some(Self {
            base,
            mounts: RefCell::default(),
            watchdog: RefCell::default(),
            loops: RefCell::default(),
        })
    }

    /// A bed with one filesystem of each type, at `/<type>`.
    pub(super) fn with(types: &[&str]) -> Option<Self> {
        let bed = Self::new()?;
        for fs in types {
            bed.add(fs, fs);
        }
        Some(bed)
    }

    /// Makes a filesystem on a loop device and mounts it at `name`.
    pub(super) fn add(&self, fs: &str, name: &str) -> PathBuf {
        let image = self.base.join(format!("{}.img", name.replace('/', "-")));
        self.add_on(&image, fs, name)
    }

    /// The same of a given size.
    pub(super) fn add_sized(&self, fs: &str, name: &str, mebibytes: u64) -> PathBuf {
        let image = self.base.join(format!("{}.img", name.replace('/', "-")));
        self.make(&image, fs, name, mebibytes)
    }

    /// The same of both.
    pub(super) fn add_sized_on(&self, image: &Path, fs: &str, name: &str, mebibytes: u64) {
        self.make(image, fs, name, mebibytes);
    }

    /// The same with the image at a given place.
    pub(super) fn add_on(&self, image: &Path, fs: &str, name: &str) -> PathBuf {
        self.make(image, fs, name, if fs == "xfs" { 320 } else { 128 })
    }

    fn make(&self, image: &Path, fs: &str, name: &str, mebibytes: u64) -> PathBuf {
        let file = fs::File::create(image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        let quiet: &[&str] = if fs == "vfat" { &[] } else { &["-q"] };
        let mut make = Command::new(format!("mkfs.{fs}"));
        assert!(make.args(quiet).arg(image).stdout(Stdio::null()).status().unwrap().success());
        let point = self.base.join(name);
        fs::create_dir_all(&point).unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), point.to_str().unwrap()]);
        self.watch(&point);
        point
    }

    /// Has the watchdog look after a mount point, unless it is that of a filesystem
    /// that cannot be frozen or that has its own.
    pub(super) fn watch(&self, point: &Path) {
        self.mounts.borrow_mut().push(point.to_owned());
    }

    /// Has a loop device deleted when nothing holds it any more.
    pub(super) fn remove_loop(&self, number: u32) {
        self.loops.borrow_mut().push(number);
    }

    /// The number of the loop device that a mount is on.
    pub(super) fn device(&self, name: &str) -> String {
        let table = mountinfo::parse(&fs::read("/proc/thread-self/mountinfo").unwrap());
        let mount = table.iter().rfind(|mount| mount.point == self.path(name)).unwrap();
        let rdev = std::os::unix::fs::MetadataExt::rdev(&fs::metadata(&mount.source).unwrap());
        format!("{}:{}", libc::major(rdev), libc::minor(rdev))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Starts the watchdog; no filesystem may be added after it.
    pub(super) fn arm(&self) {
        self.arm_for(LIMIT);
    }

    /// The same for a test that lasts longer.
    pub(super) fn arm_for(&self, limit: Duration) {
        let mounts = self.mounts.borrow();
        let paths: Vec<&Path> = mounts.iter().map(PathBuf::as_path).collect();
        *self.watchdog.borrow_mut() = Some(watchdog::start(&paths, limit));
    }

    /// A call of the agent, not started yet. Arms the watchdog first.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        if self.watchdog.borrow().is_none() {
            self.arm();
        }
        let mut command = Command::new(binary());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn agent(&self, words: &[&str]) -> Answer {
        answer(&self.command(words).output().unwrap())
    }

    /// The same with a fail-point.
    pub(super) fn failing(&self, point: &str, words: &[&str]) -> Output {
        self.command(words).env("STILLPOINT_FAIL_POINT", point).output().unwrap()
    }

    /// The processes of an execution: `holder` or `sentinel`, with their ids.
    pub(super) fn processes(&self, id: &str) -> Vec<(String, i32)> {
        let record = fs::read_to_string(format!("/run/stillpoint/run-{id}.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let processes = record["processes"].as_array().unwrap();
        processes
            .iter()
            .map(|one| {
                let pid = i32::try_from(one["pid"].as_i64().unwrap()).unwrap();
                (one["role"].as_str().unwrap().to_owned(), pid)
            })
            .collect()
    }

    pub(super) fn pids(&self, id: &str, role: &str) -> Vec<i32> {
        self.processes(id).into_iter().filter(|(is, _)| is == role).map(|(_, pid)| pid).collect()
    }

    /// Kills every process of an execution, none of which sees another die.
    pub(super) fn kill_all(&self, id: &str) {
        for signal in [libc::SIGSTOP, libc::SIGKILL] {
            self.processes(id).iter().for_each(|(_, pid)| kill(*pid, signal));
        }
    }

    /// Whether writes on a mount block now.
    pub(super) fn is_frozen(&self, name: &str) -> bool {
        !writable_within(&self.path(name), BLOCKED)
    }

    /// How long it takes until writes on a mount go on; the test fails after `limit`.
    pub(super) fn thawed_after(&self, name: &str, limit: Duration) -> Duration {
        let begun = Instant::now();
        assert!(writable_within(&self.path(name), limit), "{name} is still frozen");
        begun.elapsed()
    }

    pub(super) fn all_thawed(&self, names: &[&str]) {
        for name in names {
            self.thawed_after(name, Duration::from_millis(500));
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let Some(mut watchdog) = self.watchdog.borrow_mut().take() else { return };
        drop(watchdog.stdin.take());
        let status = watchdog.wait().unwrap();
        // A hold that a failed test left behind ends here; nobody else's is in this /run.
        let _ = Command::new(binary()).arg("thaw").output();
        let _ = Command::new("umount").arg("-l").arg(&self.base).status();
        let _ = fs::remove_dir(&self.base);
        self.loops.borrow().iter().for_each(|number| delete_loop(*number));
        if !std::thread::panicking() {
            assert_ne!(status.code(), Some(watchdog::FOUND_FROZEN), "something was left frozen");
        }
    }
}

/// Deletes a device as soon as the last filesystem on it has gone.
fn delete_loop(number: u32) {
    const LOOP_CTL_REMOVE: libc::Ioctl = 0x4C81;
    let control = fs::File::open("/dev/loop-control").unwrap();
    for _ in 0..50 {
        // SAFETY: the request takes a number; the file is open.
        if unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_REMOVE, number) } >= 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the agent's answer and checks what is true of every answer.
pub(super) fn answer(output: &Output) -> Answer {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let receipt = receipt::find(&text).unwrap().unwrap_or_else(|| panic!("{text:?} {errors}"));
    let code = output.status.code().unwrap();
    assert_eq!(code, i32::from(receipt.code), "the receipt carries the exit code");
    assert_eq!(text.lines().count(), 1, "one line and nothing else");
    assert!(text.chars().count() <= receipt::RECEIPT_CHARS_MAX + 1);
    Answer { code, receipt }
}

/// An execution id that is different for every number.
pub(super) fn id(number: u32) -> String {
    format!("0a0b0c0d-1111-4222-8333-{number:012x}")
}

pub(super) fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes two integers; the ids are those of processes that the test started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

pub(super) fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {errors}");
}

/// What others have mounted is none of this test's business, and must not be in reach.
fn detach_foreign() {
    let table = || mountinfo::parse(&fs::read("/proc/thread-self/mountinfo").unwrap());
    let root = table().iter().find(|mount| mount.point == Path::new("/")).unwrap().dev;
    let foreign = |mount: &mountinfo::Mount| {
        mount.dev != root && ["ext4", "xfs", "btrfs"].contains(&mount.fs.as_str())
    };
    for mount in table().iter().rev().filter(|mount| foreign(mount)) {
        let _ = Command::new("umount").arg("-l").arg(&mount.point).status();
    }
    assert!(!table().iter().any(foreign), "a foreign filesystem cannot be detached");
}

/// Removes a file that is not there: changes nothing, but waits for a frozen filesystem.
fn writable_within(folder: &Path, limit: Duration) -> bool {
    let folder = fs::File::open(folder).unwrap();
    let (sender, receiver) = mpsc::channel();
    // The thread of a blocked probe lives until the thaw.
    std::thread::spawn(move || {
        // SAFETY: the folder is open and the name is a literal with its terminator.
        unsafe { libc::unlinkat(folder.as_raw_fd(), c"no-such-file".as_ptr(), 0) };
        let _ = sender.send(());
    });
    receiver.recv_timeout(limit).is_ok()
}

/// The agent's binary, built once; cargo builds only the library of a dependency.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().and_then(Path::parent).unwrap();
        let target = profile.parent().unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "-p", "stillpoint-agent", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success());
        profile.join("stillpoint-agent")
    })
}
