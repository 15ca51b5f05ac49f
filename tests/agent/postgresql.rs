//! PostgreSQL with its data on ext4 and its log on xfs, under load, in a bed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{self, Answer, Bed, id, kill};
use super::{etc, flushed};

const SERVER: &str = "/usr/lib/postgresql/15/bin";

struct Server {
    postmaster: Option<Child>,
    data: PathBuf,
    user: (u32, u32),
}

fn user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
}

impl Server {
    /// A cluster in `data` with its log in `wal`; `None` where there is no server.
    fn new(bed: &Bed, data: &str, wal: &str) -> Option<Self> {
        let Some(user) = user().filter(|_| Path::new(SERVER).join("postgres").exists()) else {
            bed::skip(&format!("needs PostgreSQL 15 in {SERVER}"));
            return None;
        };
        for name in [data, wal] {
            std::os::unix::fs::chown(bed.path(name), Some(user.0), Some(user.1)).unwrap();
        }
        let (data, wal) = (bed.path(data).join("data"), bed.path(wal).join("wal"));
        let mut server = Self { postmaster: None, data, user };
        let words = ["-D", server.data.to_str().unwrap(), "-X", wal.to_str().unwrap()];
        let mut initdb = server.program("initdb");
        assert!(
            initdb.args(words).args(["-A", "peer", "--no-sync"]).output().unwrap().status.success()
        );
        server.start();
        Some(server)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(SERVER).join(name));
        command.uid(self.user.0).gid(self.user.1).current_dir("/").stdin(Stdio::null());
        command.env("PGHOST", self.data.to_str().unwrap()).env("PGDATABASE", "postgres");
        command.env("LC_ALL", "C");
        command
    }

    fn start(&mut self) {
        let folder = self.data.to_str().unwrap();
        let mut postgres = self.program("postgres");
        postgres.args(["-D", folder, "-k", folder, "-c", "listen_addresses="]);
        postgres.stdout(Stdio::null()).stderr(Stdio::null());
        self.postmaster = Some(postgres.spawn().unwrap());
        let begun = Instant::now();
        while !self.program("pg_isready").stdout(Stdio::null()).status().unwrap().success() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the server as a crash would, and waits for every process of it.
    fn crash(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else { return };
        // Takes the other processes along at once; one that is dead already has done so.
        // SAFETY: kill takes two integers; the process is ours and not waited for yet.
        unsafe { libc::kill(i32::try_from(postmaster.id()).unwrap(), libc::SIGQUIT) };
        postmaster.wait().unwrap();
    }

    fn sql(&self, sql: &str) -> String {
        let output = self.program("psql").args(["-XAtc", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn pre(bed: &Bed, id: &str) -> Answer {
    bed.agent(&[
        "pre-script",
        "--execution-id",
        id,
        "--application",
        "postgresql",
        "--timeout",
        "20s",
    ])
}

#[test]
fn postgresql_under_load_is_quiesced_held_and_released() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let Some(server) = Server::new(&bed, "ext4", "xfs") else { return };
    assert!(
        server.program("pgbench").args(["-i", "-s", "2", "-q"]).output().unwrap().status.success()
    );
    let mut load = server.program("pgbench");
    load.args(["-c", "4", "-T", "4"]).stdout(Stdio::null()).stderr(Stdio::null());
    bed.arm();
    let mut load = load.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let before = server.sql("SELECT pg_current_wal_lsn()");
    let id = id(1);
    let answer = pre(&bed, &id);
    assert_eq!((answer.code, answer.receipt.state), (0, HoldState::Held), "{answer:?}");
    let app = answer.receipt.applications[0].clone();
    assert_eq!((app.name.as_str(), app.state.as_str()), ("postgresql", "quiesced"));
    assert!(app.version.starts_with("15."), "{app:?}");
    assert!(bed.is_frozen("ext4") && bed.is_frozen("xfs"));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    assert!(post.receipt.hold.unwrap().unbroken);
    assert_eq!(post.receipt.applications[0].state, "released");
    assert!(load.wait().unwrap().success(), "the load went through the hold without an error");
    let (position, checkpoint) = app.position.split_once(" checkpoint ").unwrap();
    let later = server.sql(&format!(
        "SELECT '{position}'::pg_lsn > '{before}'::pg_lsn AND '{checkpoint}'::pg_lsn > '0/0'"
    ));
    assert_eq!(later, "t", "{app:?} {before}");
    assert_eq!(
        server
            .sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stillpoint%'"),
        "0"
    );
}

#[test]
fn a_postgresql_standby_is_held_at_the_position_that_it_has_replayed() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let Some(mut server) = Server::new(&bed, "ext4", "xfs") else { return };
    server.sql("CREATE TABLE kept AS SELECT 1 AS n");
    server.crash();
    // Without a primary that it could reach it stays one, and answers reads.
    fs::write(server.data.join("standby.signal"), "").unwrap();
    server.start();
    assert_eq!(server.sql("SELECT pg_is_in_recovery()"), "t");
    let replayed = server.sql("SELECT pg_last_wal_replay_lsn()");
    let answer = pre(&bed, &id(1));
    assert_eq!((answer.code, answer.receipt.state), (0, HoldState::Held), "{answer:?}");
    let app = &answer.receipt.applications[0];
    assert!(app.position.starts_with(&format!("{replayed} checkpoint ")), "{app:?} {replayed}");
    assert!(bed.is_frozen("ext4") && bed.is_frozen("xfs"));
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    assert_eq!(server.sql("SELECT n FROM kept"), "1");
}

#[test]
fn scenario_18_a_server_that_dies_during_the_hold_breaks_it() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let Some(mut server) = Server::new(&bed, "ext4", "xfs") else { return };
    let id = id(1);
    assert_eq!(pre(&bed, &id).code, 0);
    // An orderly shutdown would wait for the frozen filesystem first, and be no break.
    server.postmaster.as_mut().unwrap().kill().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    assert_eq!(post.receipt.applications[0].state, "lost");
    bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn a_cluster_that_is_not_wholly_frozen_or_not_durable_is_refused() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let Some(server) = Server::new(&bed, "ext4", "xfs") else { return };
    let outside = bed.path("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::chown(&outside, Some(server.user.0), Some(server.user.1)).unwrap();
    server.sql(&format!("CREATE TABLESPACE outside LOCATION '{}'", outside.display()));
    let refused = pre(&bed, &id(1));
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused));
    assert!(
        refused.receipt.reason.contains(outside.to_str().unwrap()),
        "{}",
        refused.receipt.reason
    );
    server.sql("DROP TABLESPACE outside");
    server.sql("ALTER SYSTEM SET full_page_writes = off");
    server.sql("SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(300));
    let unsafe_setting = pre(&bed, &id(2));
    assert_eq!(unsafe_setting.code, 206);
    assert!(unsafe_setting.receipt.reason.contains("full_page_writes"));
    server.sql("ALTER SYSTEM RESET full_page_writes");
    server.sql("SELECT pg_reload_conf()");
    fs::write(server.data.join("pg_hba.conf"), "local all all scram-sha-256\n").unwrap();
    kill(i32::try_from(server.postmaster.as_ref().unwrap().id()).unwrap(), libc::SIGHUP);
    std::thread::sleep(Duration::from_millis(300));
    let password = pre(&bed, &id(3));
    assert_eq!(password.code, 206);
    assert!(password.receipt.reason.contains("peer"), "{}", password.receipt.reason);
    bed.all_thawed(&["ext4", "xfs"]);
}

#[test]
fn a_cluster_on_what_is_only_flushed_is_held_all_of_it_or_not_at_all() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    etc::cover(&bed);
    let Some(server) = Server::new(&bed, "ext4", "xfs") else { return };
    flushed::carry_ssm(&bed, "ext4", "/var/lib");
    etc::settings(flushed::FLUSH);
    let mixed = pre(&bed, &id(1));
    assert_eq!((mixed.code, mixed.receipt.state), (206, HoldState::Refused));
    assert!(mixed.receipt.reason.contains("unlike the data directory"), "{mixed:?}");
    flushed::carry_ssm(&bed, "xfs", "/var/log");
    let held = pre(&bed, &id(2));
    assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
    assert!(held.receipt.frozen.is_empty());
    assert_eq!(held.receipt.applications[0].state, "quiesced");
    server.sql("CREATE TABLE written_meanwhile (a int)");
    let post = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    assert_eq!(post.receipt.applications[0].state, "released");
}

#[test]
fn hooks_run_around_a_database_where_they_are_enabled() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    etc::cover(&bed);
    let Some(server) = Server::new(&bed, "ext4", "xfs") else { return };
    let log = bed.path("ran");
    let hook = format!(": > {}.$1", log.display());
    etc::program(&Path::new(etc::HOOKS).join("10-a"), &hook);
    assert_eq!(pre(&bed, &id(1)).code, 0);
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 0);
    assert!(!fs::exists(log.with_extension("pre")).unwrap(), "not enabled");
    etc::settings("hooks.enabled = true\n");
    let held = pre(&bed, &id(2));
    assert_eq!(held.code, 0, "{held:?}");
    let names: Vec<&str> = held.receipt.applications.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["hooks", "postgresql"]);
    assert!(fs::exists(log.with_extension("pre")).unwrap());
    assert!(!fs::exists(log.with_extension("post")).unwrap());
    let post = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert!(post.receipt.hold.unwrap().unbroken);
    assert!(post.receipt.applications.iter().all(|app| app.state == "released"));
    assert!(fs::exists(log.with_extension("post")).unwrap());
    drop(server);
}

#[test]
fn every_cluster_is_held_or_none_and_a_full_disk_or_a_stopped_server_is_refused() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.add_sized("ext4", "more", 128);
    let Some(mut first) = Server::new(&bed, "ext4", "xfs") else { return };
    let Some(mut second) = Server::new(&bed, "more", "more") else { return };
    let held = pre(&bed, &id(1));
    assert_eq!(held.code, 0, "{held:?}");
    assert_eq!(held.receipt.applications.len(), 2);
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert!(post.receipt.applications.iter().all(|app| app.state == "released"), "{post:?}");
    // A cluster that restarts in the window breaks the hold of all, and all are let go.
    assert_eq!(pre(&bed, &id(2)).code, 0);
    // An orderly end would wait for the frozen filesystem first.
    second.postmaster.as_mut().unwrap().kill().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let post = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::Broken), "{post:?}");
    bed.all_thawed(&["ext4", "xfs", "more"]);
    let full = bed.path("ext4").join("full");
    let into = format!("of={}", full.display());
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=64k", &into]).output().unwrap();
    let refused = pre(&bed, &id(3));
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused), "{refused:?}");
    assert!(refused.receipt.reason.contains("full filesystem"), "{refused:?}");
    fs::remove_file(full).unwrap();
    first.crash();
    let stopped = pre(&bed, &id(4));
    assert_eq!((stopped.code, stopped.receipt.state), (206, HoldState::Refused), "{stopped:?}");
    assert!(stopped.receipt.reason.contains("no PostgreSQL server runs"), "{stopped:?}");
}
