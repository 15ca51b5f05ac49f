//! Filesystems that must not be frozen, where the settings have them flushed instead: the
//! hold goes on without them, and no receipt vouches for their volumes.

use std::fs;
use std::path::Path;

use stillpoint_wire::receipt::{HoldState, Receipt};

use super::bed::{Bed, id, run};
use super::etc;

pub(super) const FLUSH: &str = "freeze.unfreezable = \"flush\"\n";

/// Has a folder of the SSM agent, below `/var/lib` or `/var/log`, on a filesystem of the
/// bed, in this namespace alone.
pub(super) fn carry_ssm(bed: &Bed, name: &str, var: &str) {
    run("mount", &["-t", "tmpfs", "cover", var]);
    let folder = format!("{var}/amazon/ssm");
    fs::create_dir_all(&folder).unwrap();
    run("mount", &["--bind", bed.path(name).to_str().unwrap(), &folder]);
}

fn why(receipt: &Receipt, mount: &Path) -> String {
    let found = receipt.left_out.iter().find(|out| Path::new(&out.mount) == mount);
    found.map(|out| out.why.clone()).unwrap_or_default()
}

/// What waits to be written to a loop device's file system, in kilobytes.
fn dirty(bed: &Bed, name: &str) -> u64 {
    let number = bed.device(name);
    let text = fs::read_to_string(format!("/sys/kernel/debug/bdi/{number}/stats")).unwrap();
    let line = text.lines().find(|line| line.starts_with("BdiReclaimable")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_carries_ssm_is_flushed_and_the_others_are_held() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    etc::cover(&bed);
    carry_ssm(&bed, "ext4", "/var/lib");
    let refused = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!(refused.code, 206, "{refused:?}");
    etc::settings(FLUSH);
    run("mount", &["-t", "debugfs", "debug", "/sys/kernel/debug"]);
    fs::write(bed.path("ext4").join("dirty"), vec![7; 16 << 20]).unwrap();
    assert!(dirty(&bed, "ext4") > 8 << 10, "it is dirty before");
    let pre = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    assert!(dirty(&bed, "ext4") < 1 << 10, "{} kB are left", dirty(&bed, "ext4"));
    assert!(bed.is_frozen("xfs") && !bed.is_frozen("ext4"));
    let frozen: Vec<&str> = pre.receipt.frozen.iter().map(|one| one.fs.as_str()).collect();
    assert_eq!(frozen, ["xfs"]);
    let ssm = why(&pre.receipt, &bed.path("ext4"));
    assert_eq!(ssm, "flushed, not frozen: carries /var/lib/amazon/ssm");
    assert_eq!(why(&pre.receipt, Path::new("/")), "flushed, not frozen: root filesystem");
    let post = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    assert!(post.receipt.hold.unwrap().unbroken);
    assert_eq!(post.receipt.left_out, pre.receipt.left_out);
    bed.all_thawed(&["xfs"]);
}

#[test]
fn without_a_filesystem_to_freeze_the_hold_is_that_of_an_application() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    etc::cover(&bed);
    etc::settings(FLUSH);
    carry_ssm(&bed, "ext4", "/var/lib");
    let nothing = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!((nothing.code, nothing.receipt.state), (206, HoldState::Refused));
    assert!(nothing.receipt.reason.contains("nothing would be frozen"), "{nothing:?}");
    etc::program(&Path::new(etc::HOOKS).join("10-a"), "true");
    let words = ["pre-script", "--execution-id", &id(2), "--application", "hooks"];
    let pre = bed.agent(&words);
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    assert!(pre.receipt.frozen.is_empty() && !bed.is_frozen("ext4"));
    assert_eq!(bed.agent(&words).receipt, pre.receipt, "the same hold, the same answer");
    let other = bed.agent(&["pre-script", "--execution-id", &id(3), "--application", "hooks"]);
    assert_eq!(other.code, 204);
    let post = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
    let hold = post.receipt.hold.unwrap();
    assert!(hold.unbroken && hold.released_at_ms.unwrap() >= hold.frozen_at_ms);
    assert_eq!((hold.frozen_ms, post.receipt.frozen.len()), (None, 0));
}

#[test]
fn a_hold_of_an_application_alone_ends_at_its_deadline_and_with_its_holder() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    etc::cover(&bed);
    etc::settings(FLUSH);
    carry_ssm(&bed, "ext4", "/var/lib");
    etc::program(&Path::new(etc::HOOKS).join("10-a"), "true");
    let pre = |number: u32, deadline: &str| {
        let id = id(number);
        let options = ["--application", "hooks", "--deadline", deadline];
        bed.agent(&[&["pre-script", "--execution-id", &id], &options[..]].concat())
    };
    assert_eq!(pre(1, "1s").code, 0);
    std::thread::sleep(std::time::Duration::from_millis(1_300));
    let late = bed.agent(&["post-script", "--execution-id", &id(1)]);
    assert_eq!((late.code, late.receipt.state), (203, HoldState::AutoThawed), "{late:?}");
    assert_eq!(pre(2, "60s").code, 0);
    super::bed::kill(bed.pids(&id(2), "holder")[0], libc::SIGKILL);
    let broken = bed.agent(&["post-script", "--execution-id", &id(2)]);
    assert_eq!((broken.code, broken.receipt.state), (203, HoldState::Broken), "{broken:?}");
}
