//! The programs of `/etc/stillpoint/hooks.d`: when they run, in which order, what they are
//! told, and what becomes of a hold when they fail or when whoever should run them dies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{Answer, Bed, answer, id, kill};
use super::etc::{self, HOOKS};

/// A bed with ext4 and hooks that write what happens to them to a file in memory.
struct Stage {
    bed: Bed,
    log: PathBuf,
}

/// What one run of a hook wrote down.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    hook: String,
    stage: String,
    at_ms: u64,
}

impl Stage {
    fn new(hooks: &[(&str, &str)]) -> Option<Self> {
        let bed = Bed::with(&["ext4"])?;
        etc::cover(&bed);
        let stage = Self { log: bed.path("hooks.log"), bed };
        for (name, more) in hooks {
            stage.hook(name, more);
        }
        Some(stage)
    }

    fn hook(&self, name: &str, more: &str) {
        let log = self.log.display();
        let text = format!("echo \"${{0##*/}} $1 $(cut -d' ' -f1 /proc/uptime)\" >> {log}\n{more}");
        etc::program(&Path::new(HOOKS).join(name), &text);
    }

    fn runs(&self) -> Vec<Run> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let run = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let at: f64 = words[2].parse().unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "uptime")]
            let at_ms = (at * 1_000.0) as u64;
            Run { hook: words[0].into(), stage: words[1].into(), at_ms }
        };
        text.lines().map(run).collect()
    }

    /// The order of everything that has run, as `a pre, b pre`.
    fn order(&self) -> String {
        let runs = self.runs();
        let words: Vec<String> =
            runs.iter().map(|run| format!("{} {}", run.hook, run.stage)).collect();
        words.join(", ")
    }

    fn pre(&self, id: &str) -> Answer {
        self.bed.agent(&["pre-script", "--execution-id", id, "--application", "hooks"])
    }

    fn post(&self, id: &str) -> Answer {
        self.bed.agent(&["post-script", "--execution-id", id])
    }

    /// Waits until everything that is to run has run.
    fn until(&self, order: &str, limit: Duration) {
        let begun = Instant::now();
        while self.order() != order {
            assert!(begun.elapsed() < limit, "{} instead of {order}", self.order());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn hooks_run_in_order_around_the_freeze_and_never_within_it() {
    let told = "[ $1 = post ] || env > \"$(dirname $STILLPOINT_MOUNTS)\"/env; echo said-$1";
    let Some(stage) = Stage::new(&[("20-b", ""), ("10-a.sh", told)]) else { return };
    fs::write(Path::new(HOOKS).join("README"), "no hook").unwrap();
    etc::program(&Path::new(HOOKS).join("20-b.dpkg-old"), "exit 1");
    etc::program(&Path::new(HOOKS).join(".hidden"), "exit 1");
    let id = id(1);
    let output = stage
        .bed
        .command(&[
            "pre-script",
            "--execution-id",
            &id,
            "--application",
            "hooks",
            "--deadline",
            "30s",
        ])
        .env("SECRET", "of the caller")
        .output()
        .unwrap();
    let pre = answer(&output);
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    assert_eq!(pre.receipt.applications[0].name, "hooks");
    assert_eq!(pre.receipt.applications[0].state, "quiesced");
    assert!(String::from_utf8_lossy(&output.stderr).contains("hook 10-a.sh pre: said-pre"));
    assert_eq!(stage.order(), "10-a.sh pre, 20-b pre");
    assert!(stage.bed.is_frozen("ext4"));
    assert_eq!(stage.order(), "10-a.sh pre, 20-b pre", "nothing runs while it is frozen");
    let output = stage.bed.command(&["post-script", "--execution-id", &id]).output().unwrap();
    let post = answer(&output);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("hook 10-a.sh post: said-post") && !errors.contains("said-pre"));
    assert_eq!(post.receipt.applications[0].state, "released");
    assert_eq!(stage.order(), "10-a.sh pre, 20-b pre, 20-b post, 10-a.sh post");
    let hold = post.receipt.hold.unwrap();
    let runs = stage.runs();
    // The uptime that a shell can read has hundredths of a second.
    assert!(hold.unbroken && runs[1].at_ms <= hold.frozen_at_ms);
    assert!(runs[2].at_ms + 10 >= hold.released_at_ms.unwrap(), "{runs:?} {hold:?}");
    let env = fs::read_to_string(stage.bed.path("env")).unwrap();
    let mount = stage.bed.path("ext4");
    for line in [
        format!("STILLPOINT_EXECUTION_ID={id}"),
        "STILLPOINT_DEADLINE_MS=30000".into(),
        format!("STILLPOINT_MOUNTS={}", mount.display()),
    ] {
        assert!(env.lines().any(|one| one == line), "{line} is not in {env}");
    }
    assert!(!env.contains("SECRET"));
}

#[test]
fn hooks_run_when_asked_for_or_when_enabled_and_otherwise_not() {
    let Some(stage) = Stage::new(&[("10-a", "")]) else { return };
    let bed = &stage.bed;
    let filesystem = |number: u32| {
        let id = id(number);
        assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
        stage.post(&id)
    };
    assert!(filesystem(1).receipt.applications.is_empty());
    assert_eq!(stage.order(), "");
    etc::settings("hooks.enabled = true\n");
    assert_eq!(filesystem(2).receipt.applications[0].state, "released");
    assert_eq!(stage.order(), "10-a pre, 10-a post");
    fs::remove_file(Path::new(HOOKS).join("10-a")).unwrap();
    assert!(filesystem(3).receipt.applications.is_empty());
    let none = stage.pre(&id(4));
    assert_eq!(none.code, 206);
    assert!(none.receipt.reason.contains(HOOKS), "{}", none.receipt.reason);
    fs::remove_dir(HOOKS).unwrap();
    assert!(filesystem(5).receipt.applications.is_empty());
    assert_eq!(stage.pre(&id(6)).code, 206);
    let dry = bed.agent(&["dry-run"]);
    assert_eq!((dry.code, stage.order().as_str()), (0, "10-a pre, 10-a post"));
}

#[test]
fn a_hook_that_others_than_root_could_have_written_is_refused() {
    let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", "")]) else { return };
    let (hook, folder) = (Path::new(HOOKS).join("20-b"), PathBuf::from(HOOKS));
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let owner = |path: &Path, uid: u32| std::os::unix::fs::chown(path, Some(uid), None).unwrap();
    let refused = |named: &str, word: &str| {
        for call in ["pre-script", "dry-run"] {
            let words = [call, "--execution-id", &id(1), "--application", "hooks"];
            let refused = stage.bed.agent(&words);
            assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused));
            let reason = refused.receipt.reason;
            assert!(reason.contains(named) && reason.contains(word), "{reason}");
        }
    };
    mode(&hook, 0o775);
    refused("hooks.d/20-b", "0775");
    mode(&hook, 0o757);
    refused("hooks.d/20-b", "0757");
    mode(&hook, 0o755);
    owner(&hook, 1);
    refused("hooks.d/20-b", "user 1");
    owner(&hook, 0);
    mode(&folder, 0o777);
    refused("hooks.d", "0777");
    mode(&folder, 0o755);
    std::os::unix::fs::symlink("/bin/true", folder.join("30-c")).unwrap();
    refused("hooks.d/30-c", "symbolic link");
    fs::remove_file(folder.join("30-c")).unwrap();
    assert_eq!(stage.order(), "", "nothing has run");
    assert_eq!(stage.pre(&id(2)).code, 0);
    assert_eq!(stage.post(&id(2)).code, 0);
}

#[test]
fn a_hook_that_fails_before_the_freeze_rolls_the_others_back() {
    let fails = "[ $1 = post ] || exit 3";
    let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", fails), ("30-c", "")]) else { return };
    let failed = stage.pre(&id(1));
    assert_eq!((failed.code, failed.receipt.state), (201, HoldState::Failed), "{failed:?}");
    let reason = &failed.receipt.reason;
    assert!(reason.contains("hook 20-b pre") && reason.contains("exit code 3"), "{reason}");
    assert_eq!(stage.order(), "10-a pre, 20-b pre, 20-b post, 10-a post");
    assert!(failed.receipt.hold.is_none(), "nothing was frozen");
    assert_eq!(stage.post(&id(1)).code, 205);
    etc::settings("hooks.on_failure = \"ignore\"\n");
    fs::remove_file(&stage.log).unwrap();
    let held = stage.pre(&id(2));
    assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
    assert!(stage.post(&id(2)).receipt.hold.unwrap().unbroken);
    let all = "10-a pre, 20-b pre, 30-c pre, 30-c post, 20-b post, 10-a post";
    assert_eq!(stage.order(), all);
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
    let hangs = "[ $1 = post ] || { sleep 71 & sleep 72; }";
    let Some(stage) = Stage::new(&[("10-a", "sleep 73 &"), ("20-b", hangs)]) else { return };
    etc::settings("hooks.timeout = \"300ms\"\n");
    let begun = Instant::now();
    let failed = stage.pre(&id(1));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(failed.code, 201, "{failed:?}");
    let reason = &failed.receipt.reason;
    assert!(reason.contains("hook 20-b pre") && reason.contains("too long"), "{reason}");
    assert_eq!(stage.order(), "10-a pre, 20-b pre, 20-b post, 10-a post");
    let left = fs::read_dir("/proc").unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path().join("cmdline");
        let text = fs::read_to_string(path).unwrap_or_default();
        ["sleep\u{0}71", "sleep\u{0}72", "sleep\u{0}73"].iter().any(|one| text.starts_with(one))
    });
    assert_eq!(left.count(), 0, "a process of a hook is left");
}

#[test]
fn what_a_hook_says_without_end_is_cut_off() {
    let says = "yes 0123456789 | head -c 3000000; yes | head -c 3000000 >&2";
    let Some(stage) = Stage::new(&[("10-a", says)]) else { return };
    let words = ["pre-script", "--execution-id", &id(1), "--application", "hooks"];
    let output = stage.bed.command(&words).output().unwrap();
    assert_eq!(answer(&output).code, 0);
    assert!((1_000..40_000).contains(&output.stderr.len()), "{}", output.stderr.len());
    assert_eq!(stage.post(&id(1)).code, 0);
}

#[test]
fn a_hook_that_fails_after_the_thaw_is_owed_until_it_succeeds() {
    let Some(stage) = Stage::new(&[]) else { return };
    let ready = stage.bed.path("ready");
    let fails = format!("[ $1 = pre ] || [ -e {} ]", ready.display());
    stage.hook("10-a", "");
    stage.hook("20-b", &fails);
    assert_eq!(stage.pre(&id(1)).code, 0);
    let failed = stage.post(&id(1));
    assert_eq!((failed.code, failed.receipt.state), (202, HoldState::Failed), "{failed:?}");
    assert!(failed.receipt.reason.contains("hook 20-b post"), "{}", failed.receipt.reason);
    assert!(!failed.receipt.hold.as_ref().unwrap().unbroken);
    stage.bed.all_thawed(&["ext4"]);
    assert_eq!(stage.order(), "10-a pre, 20-b pre, 20-b post, 10-a post", "the others have run");
    fs::write(&ready, "").unwrap();
    let again = stage.post(&id(1));
    assert_eq!((again.code, again.receipt.state), (0, HoldState::Released), "{again:?}");
    assert!(again.receipt.hold.unwrap().unbroken && again.receipt.reason.is_empty());
    assert!(stage.order().ends_with("10-a post, 20-b post"), "{}", stage.order());
    let before = stage.order();
    assert_eq!(stage.post(&id(1)).code, 0);
    assert_eq!(stage.order(), before, "nothing is owed any more");
}

#[test]
fn hooks_run_after_the_auto_thaw() {
    let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", "")]) else { return };
    let words = ["--execution-id", &id(1), "--application", "hooks", "--deadline", "1s"];
    assert_eq!(stage.bed.agent(&[&["pre-script"], &words[..]].concat()).code, 0);
    let all = "10-a pre, 20-b pre, 20-b post, 10-a post";
    stage.until(all, Duration::from_secs(3));
    let post = stage.post(&id(1));
    assert_eq!((post.code, post.receipt.state), (203, HoldState::AutoThawed), "{post:?}");
    assert_eq!(post.receipt.applications[0].state, "released");
    assert_eq!(stage.order(), all, "once");
}

#[test]
fn a_sentinel_runs_them_when_the_holder_has_died() {
    let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", "")]) else { return };
    assert_eq!(stage.pre(&id(1)).code, 0);
    // Whichever sentinel is left, it is thawed before.
    let victims = [stage.bed.pids(&id(1), "holder")[0], stage.bed.pids(&id(1), "sentinel")[0]];
    victims.iter().for_each(|pid| kill(*pid, libc::SIGKILL));
    let all = "10-a pre, 20-b pre, 20-b post, 10-a post";
    stage.until(all, Duration::from_secs(3));
    let post = stage.post(&id(1));
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    assert!(post.receipt.reason.contains("a sentinel ran"), "{}", post.receipt.reason);
    assert_eq!(post.receipt.applications[0].state, "released");
    assert_eq!(stage.order(), all, "once");
}

#[test]
fn the_next_call_runs_them_when_all_three_have_died() {
    let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", "")]) else { return };
    for round in 0..2 {
        let _ = fs::remove_file(&stage.log);
        let (ours, other) = (id(round), id(9));
        assert_eq!(stage.pre(&ours).code, 0);
        stage.bed.kill_all(&ours);
        if round == 1 {
            assert_eq!(stage.bed.agent(&["pre-script", "--execution-id", &other]).code, 0);
            assert_eq!(stage.post(&other).code, 0);
        }
        let post = stage.post(&ours);
        assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
        assert!(post.receipt.reason.contains("the next call ran"), "{}", post.receipt.reason);
        assert_eq!(stage.order(), "10-a pre, 20-b pre, 20-b post, 10-a post", "once");
    }
}

#[test]
fn the_holder_dies_in_the_middle_of_a_hook() {
    for (at, codes, order) in [
        ("pre", [201, 205], "10-a pre, 20-b pre, 20-b post, 10-a post"),
        // Nobody can tell whether the first one had done its work.
        ("post", [0, 0], "10-a pre, 20-b pre, 20-b post, 20-b post, 10-a post"),
    ] {
        let kills = format!(
            "[ $1 = {at} ] && grep -q sp-holder /proc/$PPID/comm && kill -9 $PPID && sleep 0.2; true"
        );
        let Some(stage) = Stage::new(&[("10-a", ""), ("20-b", &kills)]) else { return };
        let (pre, post) = (stage.pre(&id(1)), stage.post(&id(1)));
        assert_eq!([pre.code, post.code], codes, "{pre:?} {post:?}");
        assert_eq!(stage.order(), order);
        stage.bed.all_thawed(&["ext4"]);
    }
}

#[test]
fn a_post_script_that_cannot_wait_for_a_long_hook_says_so() {
    let slow = "[ $1 = pre ] || sleep 4";
    let Some(stage) = Stage::new(&[("10-a", slow)]) else { return };
    assert_eq!(stage.pre(&id(1)).code, 0);
    let words = ["post-script", "--execution-id", &id(1), "--timeout", "4s"];
    let early = stage.bed.agent(&words);
    assert_eq!((early.code, early.receipt.state), (202, HoldState::Failed), "{early:?}");
    let reason = &early.receipt.reason;
    assert!(reason.contains("everything is thawed") && reason.contains("10-a"), "{reason}");
    stage.bed.all_thawed(&["ext4"]);
    let later = stage.post(&id(1));
    assert_eq!((later.code, later.receipt.state), (0, HoldState::Released), "{later:?}");
    assert!(later.receipt.hold.unwrap().unbroken);
    assert_eq!(stage.order(), "10-a pre, 10-a post");
}
