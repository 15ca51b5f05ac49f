//! The third layer: systemd is asked, before anything is frozen, to thaw after the
//! deadline. A stand-in on the search path takes the place of `systemd-run`, and does what
//! it was asked to do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{Answer, Bed, answer, id};
use super::etc;

/// A machine that systemd runs, as far as the agent can see.
struct Machine {
    bed: Bed,
    log: PathBuf,
}

impl Machine {
    /// `run` is what `systemd-run` does besides writing down how it was called.
    fn new(run: &str) -> Option<Self> {
        let bed = Bed::with(&["ext4", "xfs"])?;
        etc::cover(&bed);
        fs::create_dir_all("/run/systemd/system").unwrap();
        let (log, tools) = (bed.path("systemd.log"), bed.path("tools"));
        fs::create_dir(&tools).unwrap();
        let note = format!("echo \"${{0##*/}} $*\" >> {}", log.display());
        etc::program(&tools.join("systemd-run"), &format!("{note}\n{run}"));
        etc::program(&tools.join("systemctl"), &note);
        Some(Self { bed, log })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.bed.command(words);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.bed.path("tools").display()));
        command
    }

    fn agent(&self, words: &[&str]) -> Answer {
        answer(&self.command(words).output().unwrap())
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn logged(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        while self.log().len() < count && begun.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.log()
    }
}

#[test]
fn a_timer_is_started_before_the_freeze_and_removed_after_the_thaw() {
    // It writes to what is about to be frozen: if it were frozen already, it would hang.
    let Some(machine) = Machine::new("") else { return };
    let probe = format!(": > {}/probe", machine.bed.path("ext4").display());
    let note = format!("echo \"${{0##*/}} $*\" >> {}", machine.log.display());
    let run = machine.bed.path("tools").join("systemd-run");
    etc::program(
        &run,
        &format!("{note}\n{probe}\nsleep 0.3\n{probe}\necho done >> {}", machine.log.display()),
    );
    let id = id(1);
    let pre = machine.agent(&["pre-script", "--execution-id", &id, "--deadline", "30s"]);
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    let started = machine.log();
    assert_eq!((started.len(), started[1].as_str()), (2, "done"), "{started:?}");
    let unit = format!("stillpoint-thaw-{id}");
    for word in [
        format!("systemd-run --unit={unit} --on-active="),
        "--timer-property=AccuracySec=1s".into(),
        format!("/stillpoint-agent thaw --execution-id {id}"),
    ] {
        assert!(started[0].contains(&word), "{started:?} lacks {word}");
    }
    // The deadline, what is left of the time-out, and the margin.
    let after = started[0].split("--on-active=").nth(1).unwrap().split('s').next().unwrap();
    assert!((40..=43).contains(&after.parse::<u32>().unwrap()), "{after}");
    let post = machine.agent(&["post-script", "--execution-id", &id]);
    assert_eq!(post.code, 0, "{post:?}");
    assert_eq!(machine.logged(3)[2], format!("systemctl stop {unit}.timer"));
}

#[test]
fn it_thaws_when_all_three_processes_have_been_killed() {
    // What it leaves to be done has to have left its process group before it ends.
    let later = "after=$(echo \"$*\" | sed 's/.*--on-active=\\([0-9]*\\)s.*/\\1/')\n\
        while [ \"${1#-}\" != \"$1\" ]; do shift; done\n\
        setsid sh -c 'echo away >> \"$0\"; sleep \"$1\"; shift; exec \"$@\"' \
        /run/away \"$after\" \"$@\" > /dev/null 2>&1 &\n\
        until [ -e /run/away ]; do sleep 0.01; done";
    let Some(machine) = Machine::new(later) else { return };
    etc::program(&std::path::Path::new(etc::HOOKS).join("10-a"), "true");
    let id = id(1);
    let words = ["pre-script", "--execution-id", &id, "--deadline", "1s", "--timeout", "5s"];
    let begun = Instant::now();
    let pre = machine.agent(&[&words[..], &["--application", "hooks"]].concat());
    assert_eq!(pre.code, 0, "{pre:?}");
    machine.bed.kill_all(&id);
    assert!(machine.bed.is_frozen("ext4") && machine.bed.is_frozen("xfs"), "nobody is left");
    machine.bed.thawed_after("ext4", Duration::from_secs(10));
    machine.bed.thawed_after("xfs", Duration::from_secs(1));
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
    let status = || machine.agent(&["status", "--json"]).receipt.state;
    while status() != HoldState::Broken {
        assert!(begun.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(50));
    }
    let post = machine.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    assert!(post.receipt.reason.contains("the next call ran"), "{}", post.receipt.reason);
}

#[test]
fn a_timer_that_comes_late_does_not_touch_the_next_hold() {
    let Some(machine) = Machine::new("") else { return };
    let (first, second) = (id(1), id(2));
    assert_eq!(machine.agent(&["pre-script", "--execution-id", &first]).code, 0);
    assert_eq!(machine.agent(&["post-script", "--execution-id", &first]).code, 0);
    assert_eq!(machine.agent(&["pre-script", "--execution-id", &second]).code, 0);
    let late = machine.agent(&["thaw", "--execution-id", &first]);
    assert_eq!((late.code, late.receipt.state), (205, HoldState::NothingHeld), "{late:?}");
    assert!(machine.bed.is_frozen("ext4"));
    let post = machine.agent(&["post-script", "--execution-id", &second]);
    assert!(post.receipt.hold.unwrap().unbroken);
    assert_eq!(machine.agent(&["pre-script", "--execution-id", &id(3)]).code, 0);
    assert_eq!(machine.agent(&["thaw", "--execution-id", &id(3)]).code, 0, "its own it does");
    machine.bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn without_it_the_hold_is_the_same() {
    let hold = |machine: &Machine, number: u32| {
        let id = id(number);
        let mut command = machine.command(&["pre-script", "--execution-id", &id]);
        // The machine may have a systemd-run of its own, with nobody to talk to.
        let output = command.env("PATH", machine.bed.path("tools")).output().unwrap();
        let pre = answer(&output);
        assert_eq!((pre.code, pre.receipt.reason.as_str()), (0, ""), "{pre:?}");
        let post = machine.agent(&["post-script", "--execution-id", &id]);
        assert!(post.receipt.hold.unwrap().unbroken);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let Some(machine) = Machine::new("echo no such bus; exit 1") else { return };
    let refused = hold(&machine, 1);
    assert!(refused.contains("third layer") && refused.contains("no such bus"), "{refused}");
    fs::remove_file(machine.bed.path("tools").join("systemd-run")).unwrap();
    let missing = hold(&machine, 2);
    assert!(missing.contains("third layer: systemd-run: No such file"), "{missing}");
    // The first may have been started, for all that is known: it is removed.
    assert_eq!(machine.logged(2).len(), 2);
    fs::remove_file(&machine.log).unwrap();
    etc::program(&machine.bed.path("tools").join("systemd-run"), "exit 1");
    etc::settings("freeze.systemd = false\n");
    assert!(!hold(&machine, 3).contains("third layer"));
    etc::settings("");
    fs::remove_dir("/run/systemd/system").unwrap();
    assert!(!hold(&machine, 4).contains("third layer"), "systemd does not run this machine");
    assert_eq!(machine.log(), [""; 0]);
}
