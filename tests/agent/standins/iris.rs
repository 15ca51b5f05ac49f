//! InterSystems IRIS, two instances on the host and one in a container, against stand-ins for
//! its session program.

use std::fs;
use std::path::Path;

use stillpoint_agent::apps::irisfind;

use super::{Stage, id};

const SESSION: &str = "/usr/local/sbin/irissession";

fn stage() -> Option<Stage> {
    let stage = Stage::new("iris")?;
    stage.cover("/usr/local/sbin");
    stage.program(Path::new(SESSION), include_str!("irissession.sh"));
    let mut listed = String::new();
    for name in ["ONE", "TWO"] {
        let folder = stage.bed.path("ext4").join(name);
        for inner in ["mgr", "journal"] {
            fs::create_dir_all(folder.join(inner)).unwrap();
        }
        fs::write(folder.join("journal/20261125.003"), "").unwrap();
        fs::write(folder.join("journal/iris.lck"), "").unwrap();
        let path = folder.display();
        let cpf = format!(
            "[Databases]\nIRISSYS={path}/mgr/\nUSER={path}/mgr/,,1\n[Journal]\n\
             CurrentDirectory={path}/journal/\n[config]\nwijdir=\n"
        );
        fs::write(folder.join("iris.cpf"), cpf).unwrap();
        fs::create_dir(stage.state.join(name)).unwrap();
        listed += &format!("{name}^{path}^2024.1.0.267^running, since Wed^iris.cpf^1972^0^ok\n");
    }
    listed += "OFF^/nowhere^2024.1.0.267^down, last used Tue^iris.cpf^1973^0^\n";
    fs::create_dir(stage.state.join("BOX")).unwrap();
    stage.write("listed", &listed);
    let iris = "#!/bin/sh\n[ \"$1\" = qlist ] && cat @STATE@/listed\n";
    stage.program(Path::new("/usr/local/sbin/iris"), iris);
    Some(stage)
}

fn contain(stage: &Stage) {
    stage.write("listed-in-box", "BOX^/usr/irissys^2023.1^running^iris.cpf^1972^0^ok\n");
    let mount = stage.bed.path("ext4").join("ONE");
    stage.write("mounts", &format!("{}\n\n", mount.display()));
    stage.program(Path::new("/usr/local/sbin/docker"), include_str!("docker.sh"));
}

#[test]
fn every_running_instance_of_iris_is_suspended_also_in_a_container() {
    let Some(stage) = stage() else { return };
    contain(&stage);
    let held = stage.held(1);
    let positions: Vec<&str> =
        held.receipt.applications.iter().map(|app| app.position.as_str()).collect();
    assert_eq!(positions, ["journal 20261125.003", "journal 20261125.003", ""]);
    let suspended = |name: &str| stage.has(&format!("{name}/suspended"));
    assert!(["ONE", "TWO", "BOX"].into_iter().all(suspended));
    let calls = stage.read("calls");
    let freeze = format!("ExternalFreeze(\"\",\"stillpoint {}\",1,", id(1));
    assert_eq!(calls.matches(&freeze).count(), 3, "{calls}");
    // It resumes by itself some time after the deadline, should nobody thaw it.
    assert!(calls.contains(",,,180,,,90)"), "{calls}");
    stage.released(1);
    assert!(!["ONE", "TWO", "BOX"].into_iter().any(suspended));
    assert_eq!(stage.read("calls").matches("ExternalSetHistory").count(), 3);
}

#[test]
fn one_instance_that_cannot_be_suspended_lets_the_others_go() {
    let Some(stage) = stage() else { return };
    stage.write("TWO/freeze-fails", "");
    stage.failed(1, "iris TWO: ExternalFreeze failed (exit code 3): External Freeze: failed");
    assert!(!stage.has("ONE/suspended"));
    stage.remove("TWO/freeze-fails");
    stage.write("TWO/suspended", "");
    stage.refused(2, "iris TWO: it is suspended already, by somebody else");
    assert!(stage.has("TWO/suspended"), "it is left alone");
    stage.remove("TWO/suspended");
    stage.write("ONE/denied", "");
    stage.refused(3, "Access Denied");
    stage.remove("ONE/denied");
    let cpf = stage.bed.path("ext4").join("ONE/iris.cpf");
    fs::write(&cpf, "[Databases]\nFAR=/\n").unwrap();
    stage.refused(4, "would not be frozen");
    stage.write("listed", "OFF^/nowhere^2024.1^down^iris.cpf\n");
    stage.refused(5, "no InterSystems IRIS instance runs");
}

#[test]
fn iris_goes_on_whoever_dies_and_a_suspension_that_has_ended_breaks_the_hold() {
    let Some(stage) = stage() else { return };
    stage.abandoned(1);
    stage.ended(1, 203, "the next call let go of iris");
    assert!(!stage.has("ONE/suspended") && !stage.has("TWO/suspended"));
    stage.held(2);
    stage.remove("ONE/suspended");
    stage.ended(2, 203, "had resumed by itself");
    assert!(!stage.has("TWO/suspended"));
    stage.held(3);
    stage.write("TWO/thaw-fails", "");
    stage.ended(3, 202, "ExternalThaw failed");
    assert!(!stage.has("ONE/suspended") && stage.has("TWO/suspended"));
    stage.remove("TWO/thaw-fails");
    stage.post(3);
    assert!(!stage.has("TWO/suspended"), "the next one of its post-scripts lets go");
}

#[test]
fn the_list_of_instances_is_read() {
    let text = "A^/a^1^running, since x^f\nB^/b^1^down^f\nnonsense\n";
    let found = irisfind::parse(text, &[]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].folder.as_path()), ("A", Path::new("/a")));
}
