//! SQL Server, against a stand-in for its `sqlcmd`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use stillpoint_agent::apps::sqlserver::sqlcmd::rows;

use super::{Stage, etc, id};

fn stage() -> Option<Stage> {
    let mut stage = Stage::new("sqlserver")?;
    stage.cover("/opt");
    stage.program(Path::new("/opt/mssql-tools18/bin/sqlcmd"), include_str!("sqlcmd.sh"));
    let program = stage.bed.path("sqlservr");
    stage.program(&program, include_str!("listener.py"));
    let data = stage.bed.path("ext4").join("data");
    fs::create_dir(&data).unwrap();
    let data = data.display();
    stage.write("files", &format!("{data}/master.mdf\n{data}/a.mdf\n{data}/a.ldf\n"));
    stage.write("version", &format!("16.0.4135.4|{data}|2\n"));
    stage.write("password", "se'cret\n");
    let secret = stage.state.join("secret");
    fs::write(&secret, "se'cret\n").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    etc::settings(&format!("sqlserver.password_file = \"{}\"\n", secret.display()));
    let port = stage.state.join("port");
    let mut command = Command::new(program);
    command.arg(&port);
    stage.start(command, &port);
    Some(stage)
}

#[test]
fn sql_server_is_suspended_until_its_metadata_is_backed_up() {
    let Some(stage) = stage() else { return };
    let held = stage.held(1);
    let app = &held.receipt.applications[0];
    let file = stage.bed.path("ext4").join(format!("data/stillpoint-{}.bkm", id(1)));
    assert_eq!(app.position, format!("metadata {}", file.display()));
    assert_eq!(app.version, "16.0.4135.4");
    assert!(stage.has("suspended"));
    stage.released(1);
    assert!(!stage.has("suspended"));
    let ended = stage.read("ended");
    assert!(ended.contains("METADATA_ONLY, FORMAT") && ended.contains(&id(1)), "{ended}");
    let calls = stage.read("calls");
    assert!(calls.contains("-U sa") && !calls.contains("se'cret"), "{calls}");
}

#[test]
fn sql_server_that_is_not_ready_is_refused() {
    let Some(stage) = stage() else { return };
    stage.write("password", "other");
    stage.refused(1, "Login failed");
    stage.write("password", "se'cret");
    stage.write("suspended", "");
    stage.refused(2, "suspended already");
    stage.remove("suspended");
    stage.write("version", "15.0.2000.5|/x|2");
    stage.refused(3, "2022 (16) or newer");
    stage.write("version", "16.0.1|/x|65");
    stage.refused(4, "65 databases");
    stage.write("version", "16.0.1|/x|2");
    stage.write("files", "/var/opt/other/a.mdf\n");
    fs::create_dir_all("/opt/other").unwrap();
    stage.write("files", "/opt/other/a.mdf\n");
    stage.refused(5, "/opt/other is on /opt, which would not be frozen");
}

#[test]
fn a_suspension_that_fails_or_hangs_is_undone() {
    let Some(stage) = stage() else { return };
    stage.write("suspend-fails", "");
    stage.failed(1, "Cannot suspend database 'a' for snapshot backup. (3091)");
    stage.remove("suspend-fails");
    stage.write("hangs", "");
    let begun = Instant::now();
    stage.failed(2, "no answer in time");
    assert!(begun.elapsed().as_secs() < 9, "{:?}", begun.elapsed());
    stage.remove("hangs");
    assert!(!stage.has("suspended"));
    stage.held(3);
    stage.released(3);
}

#[test]
fn sql_server_is_let_go_whoever_dies_and_whatever_fails() {
    let Some(mut stage) = stage() else { return };
    stage.abandoned(1);
    assert!(stage.has("suspended"));
    stage.ended(1, 203, "the next call let go of sqlserver");
    assert_eq!(stage.read("ended"), "off\n");
    // The metadata cannot be written: let go all the same, and the set is not what it seemed.
    stage.held(2);
    stage.write("backup-fails", "");
    stage.ended(2, 203, "There is not enough space on the disk");
    assert!(!stage.has("suspended"));
    stage.remove("backup-fails");
    // Somebody has let go before us.
    stage.held(3);
    stage.remove("suspended");
    stage.ended(3, 203, "not suspended to the end");
    stage.held(4);
    stage.kill();
    stage.remove("suspended");
    stage.ended(4, 203, "");
}

#[test]
fn errors_of_sqlcmd_are_read() {
    assert_eq!(rows("\n a|b \n\nc\n").unwrap(), ["a|b", "c"]);
    let error = rows("Msg 925, Level 19, State 1, Server x, Line 1\nMaximum exceeded.\n");
    assert_eq!(error.unwrap_err(), "Maximum exceeded. (925)");
}
