//! SAP HANA, against a stand-in for its `hdbsql`.

use std::fs;
use std::process::Command;

use stillpoint_agent::apps::saphana::row;

use super::{Stage, etc};

fn stage() -> Option<Stage> {
    let mut stage = Stage::new("saphana")?;
    let instance = stage.bed.path("HDB00");
    stage.program(&instance.join("exe/hdbsql"), include_str!("hdbsql.sh"));
    let program = stage.bed.path("hdbnameserver");
    stage.program(&program, include_str!("listener.py"));
    let volumes = ["data", "log"].map(|name| stage.bed.path("ext4").join(name));
    volumes.iter().for_each(|volume| fs::create_dir(volume).unwrap());
    let [data, log] = volumes.map(|volume| volume.display().to_string());
    stage.write("paths", &format!("\"{data}\"\n\"{log}\"\n"));
    stage.write("key", "STILLPOINT");
    let port = stage.state.join("port");
    let mut command = Command::new(program);
    command.arg(&port).env_clear().env("PATH", "/usr/bin:/bin").env("SAPSYSTEMNAME", "HDB");
    command.env("DIR_INSTANCE", &instance).env("DIR_EXECUTABLE", instance.join("exe"));
    stage.start(command, &port);
    Some(stage)
}

#[test]
fn hana_prepares_a_snapshot_and_closes_it_by_its_id() {
    let Some(stage) = stage() else { return };
    let held = stage.held(1);
    let app = &held.receipt.applications[0];
    assert_eq!(
        (app.position.as_str(), app.version.as_str()),
        ("backup id 1700000000123", "2.00.073.00")
    );
    assert!(stage.read("prepared").contains("\"stillpoint-0a0b0c0d"));
    stage.released(1);
    assert!(!stage.has("prepared"));
    let closed = stage.read("closed");
    assert!(closed.contains("CLOSE SNAPSHOT BACKUP_ID 1700000000123 SUCCESSFUL"), "{closed}");
    assert!(stage.read("calls").lines().all(|line| line.starts_with("HDB STILLPOINT ")));
}

#[test]
fn hana_that_is_not_ready_is_refused() {
    let Some(stage) = stage() else { return };
    stage.write("key", "OTHER");
    stage.refused(1, "Invalid value for KEY");
    etc::settings("saphana.user_key = \"OTHER\"\n");
    stage.write("down", "1");
    stage.refused(2, "not all of its services are active");
    stage.remove("down");
    stage.write("prepared", "17,\"nightly backup\"\n");
    stage.refused(3, "somebody else's snapshot is prepared already, backup id 17");
    assert!(stage.has("prepared"), "it is left alone");
    stage.remove("prepared");
    let paths = stage.read("paths");
    stage.write("paths", "");
    stage.refused(4, "CATALOG READ");
    stage.write("paths", "\"/\"\n");
    stage.refused(5, "would not be frozen");
    stage.write("paths", &paths);
    stage.write("create-fails", "");
    stage.failed(6, "backup could not be completed");
    stage.remove("create-fails");
    // One that an agent of ours has left behind is closed first.
    stage.write("prepared", "18,\"stillpoint-old\"\n");
    stage.held(7);
    assert!(stage.read("closed").contains("BACKUP_ID 18 UNSUCCESSFUL"));
    stage.released(7);
}

#[test]
fn a_snapshot_of_hana_is_closed_whoever_dies_and_never_as_a_success() {
    let Some(stage) = stage() else { return };
    stage.abandoned(1);
    stage.ended(1, 203, "the next call let go of saphana");
    assert!(stage.read("closed").contains("UNSUCCESSFUL"));
    // A restart of a service has voided it.
    stage.held(2);
    stage.remove("prepared");
    stage.ended(2, 203, "snapshot cannot be closed");
    // It cannot be closed, and is still there.
    stage.held(3);
    stage.write("close-fails", "");
    stage.ended(3, 202, "snapshot cannot be closed");
    assert!(stage.has("prepared"));
    stage.remove("close-fails");
    let again = stage.post(3);
    assert!(!stage.has("prepared"), "{again:?}");
    // The deadline passes before the post-script comes.
    let words = ["--execution-id", &super::id(4), "--application", "saphana", "--deadline", "1s"];
    assert_eq!(stage.bed.agent(&[&["pre-script"], &words[..]].concat()).code, 0);
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    stage.ended(4, 203, "deadline");
    assert!(!stage.has("prepared"));
    let closed = stage.read("closed");
    assert!(!closed.contains(" SUCCESSFUL"), "{closed}");
}

#[test]
fn lines_of_hdbsql_are_read() {
    assert_eq!(row("17,\"a, b\""), ["17", "a, b"]);
    assert_eq!(row("\"x\""), ["x"]);
}
