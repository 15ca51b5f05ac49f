//! MySQL 8 and Percona Server 8, against a stand-in at their protocol: how the agent logs in,
//! what it locks, and that nothing is left of a lock that failed. MariaDB is here for real.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use stillpoint_agent::apps::mysql::lock::{Vendor, number, vendor, way};

use super::{Stage, etc};

const SOCKET: &str = "/run/mysqld.sock";

fn stage(more: &str) -> Option<Stage> {
    let mut stage = Stage::new("mysql")?;
    let program = stage.bed.path("mysqld");
    stage.program(&program, include_str!("mysqld.py"));
    let data = stage.bed.path("ext4").join("data");
    fs::create_dir_all(data.join("app")).unwrap();
    let has = |key: &str| more.contains(&format!("\"{key}\""));
    let mut settings = format!("{{\"datadir\": {data:?}{more}");
    for (key, value) in [("plugin", "auth_socket"), ("version", "8.0.36")] {
        if !has(key) {
            settings += &format!(", \"{key}\": \"{value}\"");
        }
    }
    stage.write("settings.json", &(settings + "}"));
    let mut command = Command::new(program);
    command.arg(SOCKET).arg(&stage.state);
    let ready = stage.state.join("ready");
    stage.start(command, &ready);
    Some(stage)
}

/// The statements that lock, of the session that did.
fn locks(stage: &Stage) -> Vec<String> {
    let text = stage.read("statements");
    let session = text.lines().rev().find(|line| line.contains("LOCK INSTANCE FOR")).unwrap();
    let prefix = format!("{} ", session.split(' ').next().unwrap());
    let words = ["LOCK", "UNLOCK", "FLUSH", "end"];
    let own = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    own.filter(|line| words.iter().any(|word| line.starts_with(word))).map(str::to_owned).collect()
}

#[test]
fn mysql_8_is_locked_by_what_its_tables_need() {
    let tables = "FLUSH TABLES WITH READ LOCK";
    let percona = ", \"comment\": \"Percona Server (GPL)\"";
    for (more, myisam, lock) in [
        ("", false, None),
        ("", true, Some(tables)),
        (percona, true, Some("LOCK TABLES FOR BACKUP")),
    ] {
        let Some(stage) = stage(more) else { return };
        if myisam {
            fs::write(stage.bed.path("ext4").join("data/app/t.MYD"), "").unwrap();
        }
        let held = stage.held(1);
        let app = &held.receipt.applications[0];
        assert_eq!((app.name.as_str(), app.version.as_str()), ("mysql", "8.0.36"));
        let position =
            "binlog.000002:1545 gtid 3e11fa47:1-5,4e11fa47:1 lsn 31415 relay log relay.2:9";
        assert_eq!(app.position, position);
        let mut expected = vec!["LOCK INSTANCE FOR BACKUP"];
        expected.extend(lock);
        assert_eq!(locks(&stage), expected, "nothing is released before the thaw");
        stage.released(1);
        expected.extend(lock.map(|_| "UNLOCK TABLES"));
        expected.extend(["UNLOCK INSTANCE", "end"]);
        // The server learns of the end of our session after the answer that we print.
        let until = Instant::now() + Duration::from_secs(5);
        while locks(&stage) != expected && Instant::now() < until {
            sleep(Duration::from_millis(20));
        }
        assert_eq!(locks(&stage), expected);
    }
}

#[test]
fn a_long_query_in_front_of_a_global_lock_is_refused_and_a_lock_that_fails_is_let_go() {
    let Some(stage) = stage("") else { return };
    fs::write(stage.bed.path("ext4").join("data/app/t.MYD"), "").unwrap();
    stage.write("long-query", "17");
    stage.refused(1, "query 99 has run for 17 s");
    stage.remove("long-query");
    // The server may still own half of the lock after this error; only the session's end
    // ends it for certain.
    stage.write("fail-FLUSH TABLES", "1205 Lock wait timeout exceeded");
    stage.failed(2, "FLUSH TABLES WITH READ LOCK waited too long");
    let locks = locks(&stage);
    assert_eq!(locks, ["LOCK INSTANCE FOR BACKUP", "FLUSH TABLES WITH READ LOCK", "end"]);
    stage.remove("fail-FLUSH TABLES");
    stage.write("fail-UNLOCK INSTANCE", "1227 Access denied; you need BACKUP_ADMIN");
    stage.refused(3, "may not lock it: Access denied; you need BACKUP_ADMIN");
}

#[test]
fn every_login_that_is_spoken_is_let_in_and_the_others_are_named() {
    for (plugin, more) in [
        ("mysql_native_password", ""),
        ("caching_sha2_password", ""),
        ("caching_sha2_password", ", \"full\": true"),
    ] {
        let more = format!(", \"plugin\": \"{plugin}\", \"password\": \"secret\"{more}");
        let Some(stage) = stage(&more) else { return };
        stage.refused(1, "Access denied for user 'root'");
        let secret = stage.state.join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        etc::settings(&format!("mysql.password_file = \"{}\"\n", secret.display()));
        stage.held(2);
        stage.released(2);
    }
    let Some(stage) = stage(", \"plugin\": \"authentication_ldap_sasl\"") else { return };
    stage.refused(1, "authentication_ldap_sasl");
    drop(stage);
    let Some(stage) = self::stage(", \"version\": \"5.7.44\"") else { return };
    stage.refused(1, "8.0 or newer");
}

#[test]
fn vendors_and_versions_are_told_apart() {
    assert_eq!(vendor("10.11.19-MariaDB-log", "Debian 12"), Vendor::MariaDb);
    assert_eq!(vendor("8.0.36-28", "Percona Server (GPL)"), Vendor::Percona);
    assert_eq!(vendor("8.4.0", "MySQL Community Server - GPL"), Vendor::MySql);
    assert_eq!(number("10.11.19-MariaDB"), (10, 11));
    assert_eq!(number("nonsense"), (0, 0));
    assert!(way(Vendor::MariaDb, (10, 3), false).unwrap_err().contains("10.4 or newer"));
    assert!(way(Vendor::MariaDb, (11, 8), true).unwrap().is_exact);
    assert!(way(Vendor::MySql, (9, 1), true).unwrap().waits_for_queries);
    assert!(!way(Vendor::Percona, (8, 0), true).unwrap().waits_for_queries);
}
