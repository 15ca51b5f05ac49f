//! Instances of the Xen kind: their disks have no serial number, so that the agent cannot
//! tell which volume a filesystem is on. It says so, and vouches for nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use stillpoint_agent::mountinfo::Dev;
use stillpoint_agent::volumes::below;

use super::bed::{Bed, answer, id, run};

/// A disk and its partition as the kernel of a Xen instance shows them.
fn disk(sysfs: &Path, name: &str, number: &str) {
    let folder = sysfs.join("devices/vbd-51792/block").join(name);
    let partition = folder.join(format!("{name}1"));
    fs::create_dir_all(&partition).unwrap();
    fs::create_dir_all(sysfs.join("dev/block")).unwrap();
    fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
    fs::write(partition.join("partition"), "1\n").unwrap();
    symlink(&folder, sysfs.join("dev/block").join(number)).unwrap();
    let next = number.replace(":80", ":81");
    fs::write(partition.join("dev"), format!("{next}\n")).unwrap();
    symlink(&partition, sysfs.join("dev/block").join(next)).unwrap();
}

#[test]
fn a_xen_disk_has_no_volume_and_is_named() {
    let sysfs = std::env::temp_dir().join(format!("stillpoint-xen-{}", std::process::id()));
    disk(&sysfs, "xvdf", "202:80");
    for number in ["202:80", "202:81"] {
        let found = below(&sysfs, Dev::parse(number).unwrap(), "ext4", Path::new("/dev/none"));
        assert!(found.volumes.is_empty() && !found.instance_store, "{found:?}");
        assert_eq!(found.xen.into_iter().collect::<Vec<_>>(), ["xvdf"]);
    }
    fs::remove_dir_all(sysfs).unwrap();
}

#[test]
fn it_is_frozen_and_the_log_says_that_its_volume_cannot_be_told() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    run("mount", &["-t", "tmpfs", "block", "/sys/dev/block"]);
    let device = bed.device("ext4");
    let folder = bed.path("xvdf");
    fs::create_dir(&folder).unwrap();
    symlink(&folder, Path::new("/sys/dev/block").join(device)).unwrap();
    let pre = bed.command(&["pre-script", "--execution-id", &id(1)]).output().unwrap();
    let errors = String::from_utf8_lossy(&pre.stderr).into_owned();
    let pre = answer(&pre);
    assert_eq!((pre.code, pre.receipt.frozen[0].volumes.len()), (0, 0), "{pre:?}");
    assert!(errors.contains("is on xvdf") && errors.contains("cannot be told"), "{errors}");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(1)]).code, 0);
    let named = ["pre-script", "--execution-id", &id(2), "--volumes", "vol-0123456789abcdef0"];
    assert_eq!(bed.agent(&named).code, 206);
}
