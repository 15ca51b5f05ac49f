//! Redis with its files on ext4, in a bed: with an append-only file and without, under
//! load, and what becomes of its pause when the agent or the server dies.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stillpoint_agent::apps::link::Place;
use stillpoint_agent::apps::redis::wire::{Failure, Session};
use stillpoint_wire::receipt::HoldState;

use super::bed::{self, Answer, Bed, id, kill};
use super::{etc, flushed};

/// Debian's server under the name that its own package has for it.
const PROGRAM: &str = "/usr/bin/redis-check-rdb";
const PATIENCE: Duration = Duration::from_secs(20);
const APPENDS: &[&str] = &["--appendonly", "yes", "--save", ""];
const SAVES: &[&str] = &["--appendonly", "no", "--save", "3600", "1"];

struct Server {
    process: Option<Child>,
    folder: PathBuf,
    socket: PathBuf,
    program: PathBuf,
    settings: Vec<String>,
}

impl Server {
    fn new(bed: &Bed, mount: &str, name: &str, settings: &[&str]) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            bed::skip(&format!("needs Redis in {PROGRAM}"));
            return None;
        }
        let program = bed.path("redis-server");
        if !program.exists() {
            std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
        }
        let folder = bed.path(mount).join(name);
        fs::create_dir(&folder).unwrap();
        let socket = Path::new("/run").join(format!("{name}.sock"));
        let settings = settings.iter().map(|word| (*word).to_owned()).collect();
        let mut server = Self { process: None, folder, socket, program, settings };
        server.start();
        Some(server)
    }

    fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["--port", "0", "--enable-protected-configs", "yes", "--unixsocket"])
            .arg(&self.socket)
            .arg("--dir");
        command.arg(&self.folder).args(&self.settings).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let begun = Instant::now();
        while self.try_ask(&["PING"]).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn session(&self) -> Result<Session, Failure> {
        Session::open(&Place::Unix(self.socket.clone()), "default", "", PATIENCE)
    }

    fn try_ask(&self, words: &[&str]) -> Result<String, Failure> {
        self.session()?.ask(words, PATIENCE).map(|reply| reply.text().to_owned())
    }

    fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    fn info(&self, name: &str) -> String {
        let text = self.ask(&["INFO"]);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_default().trim().to_owned()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().unwrap().id()).unwrap()
    }

    /// How long a write waits.
    fn writes_after(&self) -> Duration {
        let begun = Instant::now();
        self.ask(&["INCR", "probe"]);
        begun.elapsed()
    }

    fn load(&self) -> (Arc<AtomicBool>, std::thread::JoinHandle<(u64, Duration)>) {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut session, end) = (self.session().unwrap(), Arc::clone(&stop));
        let writer = std::thread::spawn(move || {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !end.load(Ordering::SeqCst) {
                let begun = Instant::now();
                session.ask(&["INCR", "count"], PATIENCE).unwrap();
                longest = longest.max(begun.elapsed());
                count += 1;
            }
            (count, longest)
        });
        (stop, writer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn pre(bed: &Bed, id: &str) -> Answer {
    let words = ["--execution-id", id, "--application", "redis", "--timeout", "20s"];
    bed.agent(&[&["pre-script"], &words[..], &["--deadline", "20s"]].concat())
}

fn post(bed: &Bed, id: &str) -> Answer {
    bed.agent(&["post-script", "--execution-id", id])
}

fn stage(settings: &[&str]) -> Option<(Bed, Server)> {
    let bed = Bed::with(&["ext4"])?;
    etc::cover(&bed);
    let server = Server::new(&bed, "ext4", "redis", settings)?;
    Some((bed, server))
}

#[test]
fn redis_under_load_stands_still_and_its_files_are_as_long_as_the_receipt_says() {
    for settings in [APPENDS, SAVES] {
        let Some((bed, server)) = stage(settings) else { return };
        bed.arm();
        let (stop, writer) = server.load();
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let held = pre(&bed, &id(1));
        assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
        let app = held.receipt.applications[0].clone();
        assert_eq!((app.name.as_str(), app.state.as_str()), ("redis", "quiesced"));
        assert_eq!(app.version, server.info("redis_version"));
        assert!(bed.is_frozen("ext4"));
        let size = |folder: PathBuf| -> u64 {
            let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            let data = files.filter(|path| path.extension().is_some_and(|end| end != "manifest"));
            data.map(|path| fs::metadata(path).unwrap().len()).sum()
        };
        if settings == APPENDS {
            let bytes = size(server.folder.join("appendonlydir"));
            assert_eq!(app.position, format!("aof {bytes} bytes"));
        } else {
            // On a busy machine a save is too long to be repeated with writes paused.
            let saved = format!("rdb of {}", server.info("rdb_last_save_time"));
            assert!(app.position.starts_with(&saved), "{app:?} {saved}");
        }
        let count = server.ask(&["GET", "count"]);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(server.ask(&["GET", "count"]), count, "reads go on, writes do not");
        let released = post(&bed, &id(1));
        assert_eq!((released.code, released.receipt.state), (0, HoldState::Released));
        assert!(released.receipt.hold.unwrap().unbroken);
        let whole = begun.elapsed();
        stop.store(true, Ordering::SeqCst);
        let (writes, longest) = writer.join().unwrap();
        eprintln!("{settings:?}: {writes} writes, the longest took {longest:?} of {whole:?}");
        assert!(writes > 100 && longest < whole + Duration::from_secs(1));
        assert!(!Path::new(&format!("/run/stillpoint/run-{}.debts", id(1))).exists());
    }
}

#[test]
fn the_pause_alone_holds_writes_and_a_pause_that_somebody_ends_breaks_the_hold() {
    let Some((bed, server)) = stage(APPENDS) else { return };
    flushed::carry_ssm(&bed, "ext4", "/var/lib");
    etc::settings(flushed::FLUSH);
    assert_eq!(pre(&bed, &id(1)).code, 0);
    let (stop, writer) = server.load();
    std::thread::sleep(Duration::from_millis(400));
    stop.store(true, Ordering::SeqCst);
    assert_eq!(post(&bed, &id(1)).code, 0);
    let (writes, longest) = writer.join().unwrap();
    assert!(writes <= 1 && longest >= Duration::from_millis(400), "{writes} {longest:?}");
    assert_eq!(pre(&bed, &id(2)).code, 0);
    server.ask(&["CLIENT", "UNPAUSE"]);
    server.ask(&["INCR", "count"]);
    let broken = post(&bed, &id(2));
    assert_eq!((broken.code, broken.receipt.state), (203, HoldState::Broken), "{broken:?}");
    assert!(broken.receipt.reason.contains("was written to during the hold"), "{broken:?}");
}

#[test]
fn whoever_ends_the_hold_ends_the_pause() {
    let Some((bed, server)) = stage(APPENDS) else { return };
    // The holder dies: a sentinel does it.
    assert_eq!(pre(&bed, &id(1)).code, 0);
    kill(bed.pids(&id(1), "holder")[0], libc::SIGKILL);
    assert!(server.writes_after() < Duration::from_secs(3));
    let post_1 = post(&bed, &id(1));
    assert_eq!((post_1.code, post_1.receipt.state), (203, HoldState::Broken), "{post_1:?}");
    assert!(post_1.receipt.reason.contains("a sentinel let go of redis"), "{post_1:?}");
    // All of them die: the next call does it.
    assert_eq!(pre(&bed, &id(2)).code, 0);
    bed.kill_all(&id(2));
    let post_2 = post(&bed, &id(2));
    assert_eq!(post_2.code, 203, "{post_2:?}");
    assert!(post_2.receipt.reason.contains("the next call let go of redis"), "{post_2:?}");
    assert!(server.writes_after() < Duration::from_millis(500));
    // The deadline passes.
    let words = ["--execution-id", &id(3), "--application", "redis", "--deadline", "1s"];
    assert_eq!(bed.agent(&[&["pre-script"], &words[..]].concat()).code, 0);
    assert!(server.writes_after() < Duration::from_secs(2));
    assert_eq!(post(&bed, &id(3)).code, 203);
    // The server dies, and does not come back before the post-script.
    assert_eq!(pre(&bed, &id(4)).code, 0);
    kill(server.pid(), libc::SIGKILL);
    std::thread::sleep(Duration::from_millis(200));
    let dead = post(&bed, &id(4));
    assert_eq!((dead.code, dead.receipt.state), (203, HoldState::Broken), "{dead:?}");
    assert_eq!(dead.receipt.applications[0].state, "lost");
    bed.all_thawed(&["ext4"]);
}

#[test]
fn a_server_that_is_not_ready_is_refused_before_anything_is_touched() {
    let Some((bed, mut server)) = stage(APPENDS) else { return };
    let refused = |number: u32, word: &str| {
        let answer = pre(&bed, &id(number));
        assert_eq!((answer.code, answer.receipt.state), (206, HoldState::Refused), "{answer:?}");
        assert!(answer.receipt.reason.contains(word), "{word}: {answer:?}");
    };
    server.ask(&["CONFIG", "SET", "requirepass", "secret"]);
    refused(1, "NOAUTH");
    let secret = bed.path("secret");
    let settings = format!("redis.password_file = \"{}\"\n", secret.display());
    etc::settings(&settings);
    let write = |text: &str| {
        fs::write(&secret, text).unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("wrong");
    refused(2, "WRONGPASS");
    write("secret\n");
    assert_eq!(pre(&bed, &id(3)).code, 0);
    assert_eq!(post(&bed, &id(3)).code, 0);
    etc::settings("");
    kill(server.pid(), libc::SIGKILL);
    server.process.take().unwrap().wait().unwrap();
    refused(4, "no Redis or Valkey server runs");
    server.settings = vec!["--appendonly".into(), "no".into(), "--save".into(), String::new()];
    server.start();
    refused(5, "keeps nothing on disk");
    server.ask(&["CONFIG", "SET", "save", "3600 1"]);
    server.ask(&["CONFIG", "SET", "dir", "/"]);
    refused(6, "/ is on /, which would not be frozen");
    server.ask(&["CONFIG", "SET", "dir", server.folder.to_str().unwrap()]);
    let full = format!("of={}", bed.path("ext4").join("full").display());
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=64k", &full]).output().unwrap();
    refused(7, "full filesystem");
    kill(server.pid(), libc::SIGSTOP);
    let begun = Instant::now();
    refused(8, "no answer in time");
    assert!(begun.elapsed() < Duration::from_secs(8));
    kill(server.pid(), libc::SIGCONT);
}

#[test]
fn a_save_that_fails_or_is_long_is_said_and_several_servers_are_held_at_once() {
    let Some((bed, server)) = stage(SAVES) else { return };
    bed.add("xfs", "xfs");
    let Some(other) = Server::new(&bed, "xfs", "other", APPENDS) else { return };
    server.ask(&["SET", "a", "1"]);
    let held = pre(&bed, &id(1));
    assert_eq!(held.code, 0, "{held:?}");
    assert_eq!(held.receipt.applications.len(), 2);
    assert!(bed.is_frozen("xfs"));
    assert_eq!(post(&bed, &id(1)).code, 0);
    assert!(other.writes_after() < Duration::from_secs(1));
    // The dump cannot be renamed over a folder.
    server.ask(&["CONFIG", "SET", "dbfilename", "there"]);
    fs::create_dir(server.folder.join("there")).unwrap();
    server.ask(&["SET", "a", "2"]);
    let failed = pre(&bed, &id(2));
    assert_eq!((failed.code, failed.receipt.state), (201, HoldState::Failed), "{failed:?}");
    assert!(failed.receipt.reason.contains("cannot save"), "{failed:?}");
    bed.all_thawed(&["ext4", "xfs"]);
    assert!(other.writes_after() < Duration::from_secs(1));
    let refused = pre(&bed, &id(3));
    assert_eq!(refused.code, 206, "the failure is known by now: {refused:?}");
    assert!(refused.receipt.reason.contains("last save has failed"), "{refused:?}");
}
