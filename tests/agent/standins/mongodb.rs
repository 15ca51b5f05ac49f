//! MongoDB, against a stand-in at its wire protocol.

use std::fs;
use std::process::Command;

use stillpoint_agent::apps::mongodb::bson::{self, Bson};
use stillpoint_agent::apps::mongodb::scram::Scram;

use super::{Stage, etc};

const SOCKET: &str = "/run/mongodb-27017.sock";

fn stage(more: &str) -> Option<Stage> {
    let mut stage = Stage::new("mongodb")?;
    let program = stage.bed.path("mongod");
    stage.program(&program, include_str!("mongod.py"));
    let data = stage.bed.path("ext4").join("db");
    fs::create_dir(&data).unwrap();
    stage.write("settings.json", &format!("{{\"dbPath\": {data:?}{more}}}"));
    let mut command = Command::new(program);
    command.arg(SOCKET).arg(&stage.state);
    let ready = stage.state.join("ready");
    stage.start(command, &ready);
    Some(stage)
}

#[test]
fn mongodb_is_locked_from_before_the_freeze_until_after_the_thaw() {
    let Some(stage) = stage("") else { return };
    let held = stage.held(1);
    assert_eq!(held.receipt.applications[0].position, "optime 1700000000:1 term 3");
    assert_eq!(held.receipt.applications[0].version, "7.0.14");
    assert_eq!(stage.read("locks"), "1");
    stage.released(1);
    assert_eq!(stage.read("locks"), "0");
    let commands = stage.read("commands");
    let order: Vec<&str> = commands.lines().filter(|line| line.starts_with("fsync")).collect();
    assert_eq!(order, ["fsync", "fsync lock", "fsyncUnlock"]);
}

#[test]
fn mongodb_that_is_not_ready_is_refused_and_one_that_cannot_be_locked_goes_on() {
    let Some(stage) = stage("") else { return };
    stage.write("fail-fsync", "disk full");
    stage.failed(1, "disk full");
    stage.remove("fail-fsync");
    stage.write("fail-fsync-lock", "not authorized on admin to execute command");
    stage.failed(2, "not authorized");
    stage.remove("fail-fsync-lock");
    assert_eq!(stage.read("locks"), "0");
    drop(stage);
    for (more, word) in [
        (", \"version\": \"4.2.24\"", "4.4 or newer"),
        (", \"persistent\": false", "keeps nothing on disk"),
        (", \"dbPath\": \"/\"", "would not be frozen"),
    ] {
        let Some(stage) = self::stage(more) else { return };
        stage.refused(1, word);
    }
}

#[test]
fn mongodb_lets_us_in_with_a_password_and_only_with_the_right_one() {
    let Some(stage) = stage(", \"password\": \"se,cret=\"") else { return };
    stage.refused(1, "requires authentication");
    let secret = stage.state.join("secret");
    etc::settings(&format!(
        "[mongodb]\nuser = \"backup\"\npassword_file = \"{}\"\n",
        secret.display()
    ));
    let write = |text: &str| {
        fs::write(&secret, text).unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("wrong");
    stage.refused(2, "Authentication failed");
    write("se,cret=\n");
    stage.held(3);
    stage.released(3);
}

#[test]
fn a_lock_of_mongodb_is_ended_whoever_dies_and_one_that_is_gone_breaks_the_hold() {
    let Some(mut stage) = stage("") else { return };
    stage.abandoned(1);
    assert_eq!(stage.read("locks"), "1");
    stage.ended(1, 203, "the next call let go of mongodb");
    stage.comes_to("locks", "0");
    // It cannot be unlocked: that is a thaw that is not confirmed, until it can.
    stage.abandoned(2);
    stage.write("fail-fsyncUnlock", "interrupted");
    stage.ended(2, 202, "mongodb is still held: interrupted");
    stage.remove("fail-fsyncUnlock");
    stage.ended(2, 203, "let go of mongodb");
    stage.comes_to("locks", "0");
    stage.held(3);
    stage.kill();
    stage.ended(3, 203, "");
}

#[test]
fn bytes_that_are_no_document_are_refused() {
    let members = vec![
        ("a".to_owned(), Bson::Int(7)),
        ("b".to_owned(), Bson::Document(vec![("c".to_owned(), Bson::Text("x".into()))])),
        ("d".to_owned(), Bson::Timestamp(5, 6)),
    ];
    let bytes = bson::document(&members);
    let read = bson::read(&bytes).unwrap();
    assert_eq!((read.number("a"), read.text("b.c")), (7, "x"));
    assert_eq!(read, Bson::Document(members));
    for end in 0..bytes.len() {
        assert_eq!(bson::read(&bytes[..end]), None);
    }
    proptest::proptest!(|(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..200))| {
        let _ = bson::read(&noise);
        let len = i32::try_from(noise.len() + 5).unwrap().to_le_bytes();
        let _ = bson::read(&[&len[..], &noise, &[0]].concat());
    });
}

#[test]
fn the_login_is_that_of_the_standard() {
    // RFC 7677, section 3: the nonce there is text of its own, so only the shape is compared.
    let scram = Scram::new("user", "pencil", b"chance");
    let first = scram.first();
    assert!(first.starts_with("n,,n=user,r="), "{first}");
    let nonce = first.rsplit("r=").next().unwrap();
    assert_eq!(scram.last("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), None);
    assert_eq!(scram.last(&format!("r={nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999")), None);
    let answer = scram.last(&format!("r={nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")).unwrap();
    assert!(answer.0.starts_with(&format!("c=biws,r={nonce}x,p=")), "{answer:?}");
}
