//! MariaDB with its data on ext4 and its redo log on xfs, in a bed: what is locked and for
//! how long, and what becomes of a hold when the server is not as it should be.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stillpoint_agent::apps::link::Place;
use stillpoint_agent::apps::mysql::wire::Session;
use stillpoint_wire::receipt::HoldState;

use super::bed::{self, Answer, Bed, id, kill};
use super::{etc, flushed};

const SERVER: &str = "/usr/sbin/mariadbd";
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that writers may be stalled beyond the hold itself, on a busy machine.
const STALL_MAX: Duration = Duration::from_secs(1);

struct Server {
    process: Option<Child>,
    data: PathBuf,
    redo: PathBuf,
    socket: PathBuf,
}

impl Server {
    /// A server of its own name; `None` where there is no MariaDB.
    fn new(bed: &Bed, data: &str, redo: &str, name: &str) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            bed::skip(&format!("needs MariaDB in {SERVER}"));
            return None;
        }
        let socket = Path::new("/run").join(name).join("mysqld.sock");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let (data, redo) = (bed.path(data).join(name), bed.path(redo).join(format!("{name}-redo")));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&redo).unwrap();
        let mut server = Self { process: None, data, redo, socket };
        let words = server.words();
        let install = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--basedir=/usr", "--skip-test-db", "--skip-name-resolve"])
            .arg("--auth-root-authentication-method=socket")
            .args(&words[..4])
            .output()
            .unwrap();
        let said = [install.stdout, install.stderr].concat();
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&said));
        server.start();
        Some(server)
    }

    fn words(&self) -> Vec<String> {
        vec![
            format!("--datadir={}", self.data.display()),
            format!("--innodb-log-group-home-dir={}", self.redo.display()),
            "--user=root".into(),
            // A server removes what it finds of others' temporary tables.
            format!("--tmpdir={}", self.socket.parent().unwrap().display()),
            format!("--socket={}", self.socket.display()),
            format!("--pid-file={}", self.socket.with_extension("pid").display()),
            "--skip-networking".into(),
            "--innodb-log-file-size=16M".into(),
            "--innodb-buffer-pool-size=32M".into(),
            format!("--log-bin={}", self.data.join("binlog").display()),
            "--server-id=7".into(),
        ]
    }

    fn start(&mut self) {
        let mut command = Command::new(SERVER);
        command.arg("--no-defaults").args(self.words()).stdin(Stdio::null());
        let log = fs::File::create(self.socket.with_extension("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.process_group(0).spawn().unwrap());
        let begun = Instant::now();
        while self.try_session().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.as_ref().unwrap().id()).unwrap()
    }

    fn try_session(&self) -> Option<Session> {
        let place = Place::Unix(self.socket.clone());
        Session::open(&place, 0, "root", "", Duration::from_secs(5)).ok()
    }

    fn session(&self) -> Session {
        self.try_session().expect("a session")
    }

    fn sql(&self, sql: &str) -> String {
        let rows = self.session().query(sql, PATIENCE).unwrap_or_else(|why| panic!("{sql}: {why}"));
        let row = rows.into_iter().next().unwrap_or_default();
        row.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn has_rows(self) -> Self {
        self.sql("CREATE DATABASE app");
        self.sql("CREATE TABLE app.t (a INT PRIMARY KEY AUTO_INCREMENT, w INT) ENGINE=InnoDB");
        self
    }

    /// Writers that commit one row after the other; each returns its longest commit.
    fn load(&self, writers: i32) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..writers).map(|writer| {
            let (mut session, stop) = (self.session(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut longest, mut count) = (Duration::ZERO, 0);
                while !stop.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    let sql = format!("INSERT INTO app.t (w) VALUES ({writer})");
                    session.query(&sql, PATIENCE).unwrap();
                    longest = longest.max(begun.elapsed());
                    count += 1;
                }
                (longest, count)
            })
        });
        Load { threads: threads.collect(), stop }
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

struct Load {
    threads: Vec<std::thread::JoinHandle<(Duration, u32)>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn end(self) -> (Duration, u32) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.threads.into_iter().map(|thread| thread.join().unwrap());
        ended.fold((Duration::ZERO, 0), |all, one| (all.0.max(one.0), all.1 + one.1))
    }
}

fn pre(bed: &Bed, id: &str) -> Answer {
    let words = ["--execution-id", id, "--application", "mysql", "--timeout", "20s"];
    bed.agent(&[&["pre-script"], &words[..]].concat())
}

fn post(bed: &Bed, id: &str) -> Answer {
    bed.agent(&["post-script", "--execution-id", id])
}

/// The usual bed and server.
fn stage() -> Option<(Bed, Server)> {
    let bed = Bed::new()?;
    bed.add_sized("ext4", "data", 256);
    bed.add("xfs", "redo");
    etc::cover(&bed);
    let server = Server::new(&bed, "data", "redo", "mysql")?.has_rows();
    Some((bed, server))
}

#[test]
fn mariadb_under_load_stands_still_from_the_lock_to_the_thaw() {
    let Some((bed, server)) = stage() else { return };
    bed.arm();
    let load = server.load(4);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let held = pre(&bed, &id(1));
    assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
    let app = held.receipt.applications[0].clone();
    assert_eq!((app.name.as_str(), app.state.as_str()), ("mariadb", "quiesced"));
    let version = server.sql("SELECT @@version");
    assert!(version.starts_with(&app.version), "{app:?} {version}");
    assert!(bed.is_frozen("data") && bed.is_frozen("redo"));
    // Reads go on, and what was on record when it was locked is what there is now.
    let now = server.sql("SELECT @@gtid_binlog_pos");
    assert!(app.position.ends_with(&format!("gtid {now}")), "{app:?} {now}");
    let frozen = begun.elapsed();
    let released = post(&bed, &id(1));
    assert_eq!((released.code, released.receipt.state), (0, HoldState::Released), "{released:?}");
    assert!(released.receipt.hold.unwrap().unbroken);
    assert_eq!(released.receipt.applications[0].position, app.position);
    let (longest, commits) = load.end();
    eprintln!("{commits} commits, the longest took {longest:?}, the hold {frozen:?}");
    assert!(commits > 20 && longest < frozen + STALL_MAX, "{commits} {longest:?} {frozen:?}");
    assert_eq!(server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST"), "1");
}

#[test]
fn the_lock_alone_holds_commits_and_definitions_until_the_release() {
    let Some((bed, server)) = stage() else { return };
    flushed::carry_ssm(&bed, "data", "/var/lib");
    flushed::carry_ssm(&bed, "redo", "/var/log");
    etc::settings(flushed::FLUSH);
    let held = pre(&bed, &id(1));
    assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
    assert!(held.receipt.frozen.is_empty());
    let (done, ended) = std::sync::mpsc::channel();
    let mut session = server.session();
    let writer = std::thread::spawn(move || {
        session.query("INSERT INTO app.t (w) VALUES (1)", PATIENCE).unwrap();
        done.send(Instant::now()).unwrap();
    });
    ended.recv_timeout(Duration::from_millis(700)).expect_err("it is locked");
    assert_eq!(server.sql("SELECT COUNT(*) FROM app.t"), "0");
    let released = Instant::now();
    assert_eq!(post(&bed, &id(1)).code, 0);
    assert!(ended.recv_timeout(PATIENCE).unwrap() >= released);
    writer.join().unwrap();
}

#[test]
fn a_server_or_a_session_that_dies_during_the_hold_breaks_it() {
    let Some((bed, mut server)) = stage() else { return };
    assert_eq!(pre(&bed, &id(1)).code, 0);
    let ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()";
    let ours = server.sql(ours);
    server.sql(&format!("KILL {ours}"));
    let broken = post(&bed, &id(1));
    assert_eq!((broken.code, broken.receipt.state), (203, HoldState::Broken), "{broken:?}");
    assert_eq!(broken.receipt.applications[0].state, "lost");
    assert!(broken.receipt.reason.contains("not held to the end"), "{broken:?}");
    assert_eq!(pre(&bed, &id(2)).code, 0);
    server.process.as_mut().unwrap().kill().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let broken = post(&bed, &id(2));
    assert_eq!((broken.code, broken.receipt.state), (203, HoldState::Broken), "{broken:?}");
    bed.all_thawed(&["data", "redo"]);
    server.process.take().unwrap().wait().unwrap();
    let stopped = pre(&bed, &id(3));
    assert_eq!((stopped.code, stopped.receipt.state), (206, HoldState::Refused));
    assert!(stopped.receipt.reason.contains("no MySQL or MariaDB server runs"), "{stopped:?}");
    server.start();
    assert_eq!(pre(&bed, &id(4)).code, 0);
    assert_eq!(post(&bed, &id(4)).code, 0);
}

#[test]
fn who_may_not_log_in_or_not_lock_is_refused_before_anything_is_touched() {
    let Some((bed, server)) = stage() else { return };
    let refused = |number: u32, settings: &str, word: &str| {
        etc::settings(settings);
        let answer = pre(&bed, &id(number));
        assert_eq!((answer.code, answer.receipt.state), (206, HoldState::Refused), "{answer:?}");
        assert!(answer.receipt.reason.contains(word), "{word}: {answer:?}");
    };
    server.sql("CREATE USER weak@localhost IDENTIFIED BY 'secret'");
    server.sql("CREATE USER able@localhost IDENTIFIED BY 'secret'");
    server.sql("GRANT RELOAD ON *.* TO able@localhost");
    let secret = bed.path("secret");
    let text = |user: &str| {
        format!("[mysql]\nuser = \"{user}\"\npassword_file = \"{}\"\n", secret.display())
    };
    refused(1, "mysql.user = \"nobody-knows\"\n", "Access denied");
    refused(2, &text("able"), "No such file");
    fs::write(&secret, "secret\n").unwrap();
    refused(3, &text("able"), "0644");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    refused(4, &text("weak"), "may not lock it");
    etc::settings(&text("able"));
    let held = pre(&bed, &id(5));
    assert_eq!(held.code, 0, "{held:?}");
    // The least of rights tells the GTID, not the file.
    assert!(held.receipt.applications[0].position.starts_with("gtid 0-7-"), "{held:?}");
    assert_eq!(post(&bed, &id(5)).code, 0);
    fs::write(&secret, "wrong\n").unwrap();
    refused(6, &text("able"), "Access denied");
}

#[test]
fn what_is_in_front_of_the_lock_bounds_it_and_the_server_goes_on() {
    let Some((bed, server)) = stage() else { return };
    bed.arm();
    let mut other = server.session();
    let mut fails = |number: u32, before: &str, after: &str, limit: Duration| {
        other.query(before, PATIENCE).unwrap();
        let begun = Instant::now();
        let words = ["--execution-id", &id(number), "--application", "mysql", "--timeout", "6s"];
        let answer = bed.agent(&[&["pre-script"], &words[..]].concat());
        assert_eq!((answer.code, answer.receipt.state), (201, HoldState::Failed), "{answer:?}");
        assert!(answer.receipt.reason.contains("waited too long"), "{answer:?}");
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
        bed.all_thawed(&["data", "redo"]);
        server.sql("INSERT INTO app.t (w) VALUES (2)");
        other.query(after, PATIENCE).unwrap();
        server.sql("CREATE TABLE app.after_it (a INT)");
        server.sql("DROP TABLE app.after_it");
    };
    let limit = Duration::from_secs(6);
    fails(1, "BACKUP STAGE START", "BACKUP STAGE END", limit);
    server.sql("CREATE TABLE app.m (a INT) ENGINE=MyISAM");
    fails(2, "LOCK TABLES app.m WRITE", "UNLOCK TABLES", limit);
    // A long query stalls nobody.
    let long = std::thread::spawn({
        let mut session = server.session();
        move || session.query("SELECT SLEEP(4) FROM app.t LIMIT 1", PATIENCE).map(drop)
    });
    let load = server.load(2);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(pre(&bed, &id(3)).code, 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(post(&bed, &id(3)).code, 0);
    let whole = begun.elapsed();
    let (longest, _) = load.end();
    assert!(longest < whole + STALL_MAX, "{longest:?}");
    long.join().unwrap().unwrap();
}

#[test]
fn data_elsewhere_or_a_full_disk_is_refused() {
    let Some((bed, server)) = stage() else { return };
    let words = ["--application", "mysql", "--timeout", "20s"];
    bed.arm();
    let elsewhere = bed.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let table = format!("DATA DIRECTORY='{}'", elsewhere.display());
    server.sql(&format!("CREATE TABLE app.elsewhere (a INT) ENGINE=InnoDB {table}"));
    let refused = |word: &str| {
        let outside = bed.agent(&[&["dry-run"], &words[..]].concat());
        assert_eq!((outside.code, outside.receipt.state), (206, HoldState::Refused), "{outside:?}");
        assert!(outside.receipt.reason.contains(word), "{word}: {outside:?}");
    };
    refused("elsewhere/app is on ");
    server.sql("DROP TABLE app.elsewhere");
    etc::settings(&format!("freeze.leave_out = [\"{}\"]\n", bed.path("redo").display()));
    refused("mysql-redo is on ");
    etc::settings("");
    assert_eq!(bed.agent(&[&["dry-run"], &words[..]].concat()).code, 0);
    let full = bed.path("data").join("full");
    let _ = Command::new("fallocate").args(["-l", "300M"]).arg(&full).output();
    let _ = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k"])
        .arg(format!("of={}", full.display()))
        .stderr(Stdio::null())
        .status();
    let refused = pre(&bed, &id(1));
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused), "{refused:?}");
    assert!(refused.receipt.reason.contains("full filesystem"), "{refused:?}");
    fs::remove_file(&full).unwrap();
    assert_eq!(pre(&bed, &id(2)).code, 0);
    assert_eq!(post(&bed, &id(2)).code, 0);
}

#[test]
fn every_server_of_a_host_is_held_or_none_is() {
    let Some((bed, first)) = stage() else { return };
    bed.add_sized("ext4", "more", 256);
    let Some(second) = Server::new(&bed, "more", "more", "second") else { return };
    let second = second.has_rows();
    second.sql("SET GLOBAL gtid_slave_pos = '0-9-5'");
    let held = pre(&bed, &id(1));
    assert_eq!(held.code, 0, "{held:?}");
    let positions: Vec<&str> =
        held.receipt.applications.iter().map(|app| app.position.as_str()).collect();
    assert_eq!(positions.len(), 2);
    assert!(positions.iter().any(|one| one.ends_with("replica gtid 0-9-5")), "{positions:?}");
    assert_eq!(post(&bed, &id(1)).code, 0);
    // One that answers no more: bounded, and the other is not held.
    kill(second.pid(), libc::SIGSTOP);
    let begun = Instant::now();
    let refused = pre(&bed, &id(2));
    kill(second.pid(), libc::SIGCONT);
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    first.sql("INSERT INTO app.t (w) VALUES (1)");
    first.sql("CREATE TABLE app.more (a INT)");
}

#[test]
fn a_lock_that_a_client_takes_ends_with_that_client_as_in_awss_sample() {
    let Some((_bed, server)) = stage() else { return };
    let sample = include_str!("../fixtures/aws-dlm-mysql.yaml");
    let statement = "flush tables with read lock";
    assert!(sample.to_lowercase().contains(statement), "this is what the sample runs");
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-e", statement]).arg("--socket").arg(&server.socket);
    assert!(client.status().unwrap().success());
    let begun = Instant::now();
    server.sql("INSERT INTO app.t (w) VALUES (3)");
    server.sql("CREATE TABLE app.not_locked (a INT)");
    assert!(begun.elapsed() < Duration::from_secs(2), "nothing is locked");
}
