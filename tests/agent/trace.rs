//! What holder and sentinels ask of the kernel between the first freeze and the last
//! thaw, as strace sees it: nothing that opens, executes, takes memory or logs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::bed::{self, Bed, answer, id, kill};

/// Calls that wait, look at a clock, give a thread its turn, or speak through what is open already.
const ALLOWED: [&str; 21] = [
    "ioctl",
    "poll",
    "ppoll",
    "restart_syscall",
    "futex",
    "read",
    "recvfrom",
    "accept4",
    "getsockopt",
    "fcntl",
    "close",
    "clock_gettime",
    "clock_nanosleep",
    "nanosleep",
    "sched_yield",
    "sched_setscheduler",
    "pidfd_send_signal",
    "rt_sigprocmask",
    "rt_sigreturn",
    "exit",
    "exit_group",
];

/// Calls that write, and what they may write to: a counter, a socket, the RCU switch.
const WRITES: [&str; 3] = ["write", "sendto", "pwrite64"];
const WRITTEN: [&str; 4] = ["eventfd]>", "<socket:[", "<UNIX", "</sys/kernel/rcu_expedited>"];

struct Trace {
    strace: Child,
    file: std::path::PathBuf,
}

impl Trace {
    /// A pre-script under strace; returns when its receipt is there.
    fn of_pre_script(bed: &Bed, id: &str) -> Option<Self> {
        if Command::new("strace").arg("-V").output().is_err() {
            bed::skip("strace is not installed");
            return None;
        }
        let agent = bed.command(&[]).get_program().to_owned();
        let file = bed.base.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-s", "8", "-o"]).arg(&file).arg(agent);
        strace.args(["pre-script", "--execution-id", id]).stdout(Stdio::piped());
        let mut strace = strace.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(strace.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let output = std::process::Output {
            status: std::process::ExitStatus::from_raw(0),
            stdout: line.into_bytes(),
            stderr: Vec::new(),
        };
        assert_eq!(answer(&output).code, 0);
        Some(Self { strace, file })
    }

    /// The calls of every process from the first freeze to the last thaw, the client's apart.
    fn window(mut self) -> Window {
        // It ends with the last process that it follows.
        let begun = Instant::now();
        while self.strace.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the hold does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = fs::read_to_string(&self.file).unwrap();
        let lines: Vec<(i32, &str)> = text
            .lines()
            .filter_map(|line| {
                let (pid, call) = line.split_once(' ')?;
                Some((pid.parse().ok()?, call.trim_start()))
            })
            .collect();
        let client = lines[0].0;
        let has = |what: &'static str| move |line: &(i32, &str)| line.1.contains(what);
        let first = lines.iter().position(has("FIFREEZE")).expect("a freeze");
        let last = lines.iter().rposition(has("FITHAW")).expect("a thaw");
        let within = lines[first..=last].iter().map(|(pid, call)| (*pid, (*call).to_owned()));
        let (client, others) = within.partition(|(pid, _)| *pid == client);
        Window { client, others }
    }
}

struct Window {
    client: Vec<(i32, String)>,
    others: Vec<(i32, String)>,
}

fn is_allowed(call: &str) -> bool {
    // The end of a call whose beginning was judged, a signal, the end of a process.
    if ["<... ", "--- ", "+++ "].iter().any(|start| call.starts_with(start)) {
        return true;
    }
    let name = call.split('(').next().unwrap_or_default();
    let to_allowed = || WRITTEN.iter().any(|target| call.contains(target));
    ALLOWED.contains(&name) || (WRITES.contains(&name) && to_allowed())
}

fn judge(window: &[(i32, String)], what: &str) {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, call) in window.iter().filter(|(_, call)| !call.starts_with(['<', '-', '+'])) {
        *count.entry(call.split('(').next().unwrap()).or_default() += 1;
    }
    eprintln!("{what}: {count:?}");
    assert!(window.len() > 20, "strace has not followed the processes");
    let wrong: Vec<&(i32, String)> = window.iter().filter(|(_, call)| !is_allowed(call)).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

#[test]
fn between_freeze_and_thaw_nothing_is_opened_executed_allocated_or_logged() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    bed.arm();
    let Some(trace) = Trace::of_pre_script(&bed, &id(1)) else { return };
    // A second call and a stranger's question are answered while everything is frozen.
    let other = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert_eq!(other.code, 205);
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    let window = trace.window();
    judge(&window.others, "held, then released");
    // It has its answer to write, for which it may take memory; it is not what thaws.
    let opens = |call: &str| ["open", "exec", "stat", "connect"].iter().any(|o| call.contains(o));
    let wrong: Vec<_> = window.client.iter().filter(|(_, call)| opens(call)).collect();
    assert!(!window.client.is_empty() && wrong.is_empty(), "the client: {wrong:#?}");
}

#[test]
fn a_post_script_asks_for_the_thaw_before_it_looks_at_anything() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id(1)]).code, 0);
    let agent = bed.command(&[]).get_program().to_owned();
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(bed.base.join("trace")).arg(agent);
    let Ok(output) = strace.args(["post-script", "--execution-id", &id(1)]).output() else {
        return bed::skip("strace is not installed");
    };
    assert_eq!(answer(&output).code, 0);
    let text = fs::read_to_string(bed.base.join("trace")).unwrap();
    let place = |what: &str| text.lines().position(|line| line.contains(what));
    let (asked, settings) = (place("connect(").unwrap(), place("agent.toml").unwrap());
    assert!(asked < settings, "{text}");
    let before: Vec<&str> =
        text.lines().take(asked).filter(|l| l.contains("/stillpoint")).collect();
    assert!(
        before.iter().all(|l| l.contains("lstat")
            || l.contains("statx")
            || l.contains("newfstatat")
            || l.contains("exec")),
        "{before:#?}"
    );
}

#[test]
fn a_sentinel_that_takes_over_opens_executes_allocates_and_logs_nothing_either() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    bed.arm();
    let Some(trace) = Trace::of_pre_script(&bed, &id(1)) else { return };
    kill(bed.pids(&id(1), "holder")[0], libc::SIGKILL);
    bed.thawed_after("ext4", Duration::from_secs(1));
    bed.all_thawed(&["btrfs", "xfs"]);
    judge(&trace.window().others, "taken over");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 203);
}

#[test]
fn the_judgement_knows_what_is_not_allowed() {
    let wrong = [
        "openat(AT_FDCWD, \"/etc/x\", O_RDONLY) = 3",
        "execve(\"/bin/sh\", ...",
        "mmap(NULL, 4096, PROT_READ, ...) = 0x7f",
        "brk(0x5555) = 0x5555",
        "mprotect(0x7f, 4096, PROT_READ) = 0",
        "write(2</dev/null>, \"log\", 3) = 3",
        "sendto(5</dev/log>, \"log\", 3) = 3",
        "clone3({...}) = 7",
    ];
    assert!(wrong.iter().all(|call| !is_allowed(call)));
    assert!(is_allowed("write(9<anon_inode:[eventfd]>, \"\\1\", 8) = 8"));
}
