//! A dry-run changes nothing, and says what a pre-script would do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use stillpoint_wire::receipt::HoldState;

use super::bed::{Bed, id};

/// Everything that can be seen of a tree without changing it.
fn look(folder: &Path, into: &mut BTreeMap<String, String>) {
    let meta = fs::symlink_metadata(folder).unwrap();
    let times = (meta.atime(), meta.atime_nsec(), meta.mtime_nsec(), meta.ctime_nsec());
    let seen = format!("{times:?} {} {:o} {}", meta.len(), meta.mode(), meta.ino());
    into.insert(folder.display().to_string(), seen);
    if meta.is_dir() {
        for entry in fs::read_dir(folder).unwrap() {
            look(&entry.unwrap().path(), into);
        }
    }
}

fn everything(bed: &Bed) -> (BTreeMap<String, String>, String, Vec<u8>) {
    let mut tree = BTreeMap::new();
    look(&bed.path("ext4"), &mut tree);
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let image = fs::read(bed.base.join("ext4.img")).unwrap();
    (tree, mounts, image)
}

#[test]
fn scenario_25_a_dry_run_changes_nothing() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let root = bed.path("ext4");
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/file"), "content").unwrap();
    bed.arm();
    // The first look reads the folders, which may set their access times; then all is quiet.
    super::bed::run("sync", &["-f", root.to_str().unwrap()]);
    everything(&bed);
    super::bed::run("sync", &["-f", root.to_str().unwrap()]);
    let before = everything(&bed);
    let dry = bed.agent(&["dry-run", "--execution-id", "None"]);
    super::bed::run("sync", &["-f", root.to_str().unwrap()]);
    let after = everything(&bed);
    assert_eq!((dry.code, dry.receipt.state), (0, HoldState::Planned));
    assert_eq!(dry.receipt.frozen[0].mount, root.to_str().unwrap());
    assert!(before.0 == after.0, "access times, sizes, inodes");
    assert!(before.1 == after.1, "mount options");
    assert!(before.2 == after.2, "a byte of the image");
    assert!(!Path::new("/run/stillpoint").exists(), "no state is made");
}

#[test]
fn a_dry_run_tells_of_the_pause_that_only_xfs_makes() {
    for (kind, told) in [("ext4", false), ("xfs", true)] {
        let Some(bed) = Bed::with(&[kind]) else { return };
        let output = bed.command(&["dry-run"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("xfs pauses in a freeze"), told, "{said}");
    }
}

#[test]
fn a_dry_run_tells_what_stands_in_the_way() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let none = bed.agent(&["dry-run", "--application", "postgresql"]);
    assert_eq!((none.code, none.receipt.state), (206, HoldState::Refused));
    assert!(none.receipt.reason.contains("PostgreSQL"), "{}", none.receipt.reason);
    let unknown = bed.agent(&["dry-run", "--volumes", "vol-0123456789abcdef0"]);
    assert_eq!(unknown.code, 206);
    assert!(unknown.receipt.reason.contains("volume"), "{}", unknown.receipt.reason);
    let id = id(1);
    assert_eq!(bed.agent(&["pre-script", "--execution-id", &id]).code, 0);
    let held = bed.agent(&["dry-run"]);
    assert_eq!((held.code, held.receipt.state), (204, HoldState::AlreadyHeld));
    assert!(bed.agent(&["post-script", "--execution-id", &id]).receipt.hold.unwrap().unbroken);
}
