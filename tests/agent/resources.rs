//! Little memory, other people's clocks, and how little the agent itself takes.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{self, Bed, answer, id, kill};

/// What holder and each sentinel may take while holding is ten megabytes. Five of them are the
/// binary's, which the holder locks as a whole (`infra/package.py` builds it in one and a half; the
/// one that is tested here is larger for its debug assertions), and five its own.
const OWN_KIB_MAX: u64 = 5 * 1_024;

/// A cgroup of a test that limits memory, on either version.
struct Memory(PathBuf);

impl Memory {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("stillpoint-test-{}-{bytes}", std::process::id());
        let places =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (root, file) in places {
            let folder = Path::new(root).join(&name);
            if Path::new(root).join("cgroup.procs").exists() && fs::create_dir(&folder).is_ok() {
                let group = Self(folder);
                if fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                    return Some(group);
                }
            }
        }
        bed::skip("no memory controller to limit memory with");
        None
    }

    /// Has a command start in the group.
    fn take_in(&self, command: &mut Command) {
        let procs = self.0.join("cgroup.procs");
        // SAFETY: between fork and exec it only writes to a file.
        unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Its last processes may just be leaving.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn scenario_15_out_of_memory_takes_somebody_else_and_the_hold_goes_on() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let Some(group) = Memory::new(48 << 20) else { return };
    let id = id(1);
    let mut pre = bed.command(&["pre-script", "--execution-id", &id]);
    group.take_in(&mut pre);
    assert_eq!(answer(&pre.output().unwrap()).code, 0);
    // Holds everything that it reads in memory, and the device never ends.
    let mut hog = Command::new("tail");
    hog.arg("/dev/zero").stdout(Stdio::null()).stderr(Stdio::null());
    group.take_in(&mut hog);
    let end = hog.status().unwrap();
    assert_eq!(end.signal(), Some(libc::SIGKILL), "the kernel had to kill somebody: {end:?}");
    assert!(bed.is_frozen("ext4") && bed.is_frozen("xfs"), "it was not one of ours");
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn scenario_15_too_little_memory_to_begin_leaves_nothing_frozen() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    for (round, mebibytes) in [1, 2, 3, 4, 6, 8].into_iter().enumerate() {
        let Some(group) = Memory::new(mebibytes << 20) else { return };
        let id = id(u32::try_from(round).unwrap());
        let words = ["pre-script", "--execution-id", &id, "--deadline", "2s"];
        let mut pre = bed.command(&words);
        group.take_in(&mut pre);
        let output = pre.output().unwrap();
        let code = output.status.code();
        eprintln!("{mebibytes} MiB: {code:?} {:?}", output.status.signal());
        if code == Some(0) {
            assert_eq!(answer(&output).receipt.state, HoldState::Held);
            assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
        } else {
            // Killed, or refused: whatever had begun is undone by those who are left.
            bed.thawed_after("ext4", Duration::from_millis(2_500));
            let post = bed.agent(&["post-script", "--execution-id", &id]);
            assert!([205, 203].contains(&post.code), "{post:?}");
        }
        bed.all_thawed(&["ext4", "xfs"]);
    }
}

/// A wall clock that is an hour early and an hour late in turns.
const JUMPING_CLOCK: &str = "
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/time.h>
static int turn;
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        time->tv_sec += __sync_fetch_and_add(&turn, 1) % 2 ? 3600 : -3600;
    return result;
}
int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
";

#[test]
fn scenario_15_a_wall_clock_that_jumps_by_hours_changes_nothing() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let (source, library) = (bed.base.join("clock.c"), bed.base.join("clock.so"));
    fs::write(&source, JUMPING_CLOCK).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    if !compiler.output().is_ok_and(|output| output.status.success()) {
        bed::skip("no C compiler for a clock that jumps");
        return;
    }
    let jumping = |words: &[&str]| {
        let output = bed.command(words).env("LD_PRELOAD", &library).output().unwrap();
        answer(&output)
    };
    let now = Command::new("date").arg("+%s").env("LD_PRELOAD", &library).output().unwrap();
    let shown: i64 = String::from_utf8(now.stdout).unwrap().trim().parse().unwrap();
    let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let off = shown - i64::try_from(real.as_secs()).unwrap();
    assert!(off.abs() > 3_000, "the clock does not jump: {off}");

    let (whole, late) = (id(1), id(2));
    assert_eq!(jumping(&["pre-script", "--execution-id", &whole, "--deadline", "5s"]).code, 0);
    assert!(bed.is_frozen("ext4"));
    let post = jumping(&["post-script", "--execution-id", &whole]);
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    assert_eq!(jumping(&["pre-script", "--execution-id", &late, "--deadline", "1s"]).code, 0);
    let after = bed.thawed_after("ext4", Duration::from_millis(1_500));
    assert!(after > Duration::from_millis(500), "thawed too early: {after:?}");
    let post = jumping(&["post-script", "--execution-id", &late]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::AutoThawed), "{post:?}");
    let hold = post.receipt.hold.unwrap();
    let held = hold.released_at_ms.unwrap() - hold.frozen_at_ms;
    assert!((700..=1_100).contains(&held), "{held}");
    bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn holder_and_sentinels_take_little_memory_while_holding() {
    let Some(bed) = Bed::new() else { return };
    for number in 0..16 {
        bed.add_sized("ext4", &format!("{number:02}"), 8);
    }
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    for (role, pid) in bed.processes(&id) {
        let (resident, own) = (memory_kib(pid, "VmRSS:"), memory_kib(pid, "RssAnon:"));
        eprintln!("{role}: {resident} KiB resident, {own} of them its own, 16 filesystems");
        assert!(own < OWN_KIB_MAX, "{role}: {own} KiB");
        assert!(memory_kib(pid, "VmLck:") >= resident, "{role}: not all of it is locked");
    }
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
}

fn memory_kib(pid: i32, name: &str) -> u64 {
    read_kib(pid, "status", name)
}

fn read_kib(pid: i32, file: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// The page that it would have to be given might be one that only a thaw can free.
#[test]
fn a_sentinel_that_thaws_has_all_the_memory_that_it_needs() {
    let Some(bed) = Bed::with(&["ext4", "xfs", "btrfs"]) else { return };
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id, "--deadline", "1s"]).code, 0);
    let (holder, sentinels): (Vec<_>, Vec<_>) =
        bed.processes(&id).into_iter().partition(|(role, _)| role == "holder");
    kill(holder[0].1, libc::SIGSTOP);
    // Counted page by page, where the numbers in `status` are estimates. A page that it still
    // shares with the holder would have to be copied.
    let one = |pid: i32| read_kib(pid, "smaps_rollup", "Private_Dirty:");
    let own = || sentinels.iter().map(|(_, pid)| one(*pid)).collect::<Vec<_>>();
    let before = own();
    bed.thawed_after("ext4", Duration::from_secs(4));
    bed.all_thawed(&["ext4", "xfs", "btrfs"]);
    assert_eq!(own(), before, "a sentinel took memory to thaw");
    kill(holder[0].1, libc::SIGCONT);
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::AutoThawed), "{post:?}");
}

/// The scheduling policies of a process's threads but the first, each once (proc(5), 41st field).
fn policies(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let threads = tasks.filter(|task| !task.ends_with(pid.to_string()));
    let mut found: Vec<i32> = threads
        .map(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap();
            stat.rsplit(')').next().unwrap().split(' ').nth(39).unwrap().parse().unwrap()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn who_freezes_goes_before_ordinary_work_but_not_where_xfs_is_among_it() {
    // xfs misses a wake-up that comes too early, and that costs its writers 50 ms.
    for (types, while_freezing) in
        [(&["ext4"][..], libc::SCHED_RR), (&["ext4", "xfs"], libc::SCHED_OTHER)]
    {
        let Some(bed) = Bed::with(types) else { return };
        let id = id(1);
        let mut command = bed.command(&["pre-script", "--execution-id", &id]);
        let client = command.env("STILLPOINT_FAIL_POINT", "holder.after-freeze=1500").spawn();
        let record = format!("/run/stillpoint/run-{id}.json");
        let until = Instant::now() + Duration::from_secs(10);
        while (!Path::new(&record).exists() || bed.pids(&id, "holder").is_empty())
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let holder = bed.pids(&id, "holder")[0];
        while !bed.is_frozen("ext4") && Instant::now() < until {}
        assert_eq!(policies(holder), [while_freezing], "{types:?}");
        let pre = answer(&client.unwrap().wait_with_output().unwrap());
        assert_eq!(pre.code, 0, "{pre:?}");
        assert_eq!(policies(holder), [libc::SCHED_RR], "{types:?}");
        assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
    }
}
