//! What is frozen and what is not, on real mounts: twice-mounted filesystems, stacks,
//! strange names, and everything that is left out with its reason.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::bed::{self, Bed, id, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn scenario_5_bind_mounts_and_subvolumes_are_frozen_once() {
    let Some(bed) = Bed::with(&["ext4", "btrfs"]) else { return };
    let (ext4, btrfs) = (bed.path("ext4"), bed.path("btrfs"));
    fs::create_dir(ext4.join("folder")).unwrap();
    run("btrfs", &["-q", "subvolume", "create", text(&btrfs.join("sub"))]);
    for name in ["bind", "again", "sub"] {
        fs::create_dir(bed.path(name)).unwrap();
    }
    run("mount", &["--bind", text(&ext4.join("folder")), text(&bed.path("bind"))]);
    run("mount", &["--bind", text(&ext4), text(&bed.path("again"))]);
    run("mount", &["--bind", text(&btrfs.join("sub")), text(&bed.path("sub"))]);
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!(pre.code, 0, "{pre:?}");
    assert_eq!(pre.receipt.frozen.len(), 2, "one entry a superblock");
    for name in ["bind", "again", "sub"] {
        assert!(bed.is_frozen(name), "{name}");
    }
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert!(post.receipt.hold.unwrap().unbroken);
    bed.all_thawed(&["ext4", "bind", "again", "btrfs", "sub"]);
}

#[test]
fn scenario_6_a_stack_of_loop_devices_three_deep_is_frozen_from_the_top() {
    let Some(bed) = Bed::new() else { return };
    let outer = bed.base.join("outer.img");
    fs::File::create(&outer).unwrap().set_len(1 << 30).unwrap();
    run("mkfs.ext4", &["-q", text(&outer)]);
    // Mounted in the opposite order of their names, so that no sorting can help.
    fs::create_dir(bed.path("z")).unwrap();
    run("mount", &["-o", "loop", text(&outer), text(&bed.path("z"))]);
    bed.watch(&bed.path("z"));
    let middle = bed.path("z").join("middle.img");
    bed.add_on(&middle, "xfs", "m");
    bed.add_on(&bed.path("m").join("inner.img"), "ext4", "a");
    for round in 0..3 {
        let id = id(round);
        let pre = bed.agent(&["pre-script", "--execution-id", &id]);
        assert_eq!(pre.code, 0, "{pre:?}");
        assert_eq!(pre.receipt.frozen.len(), 3);
        let post = bed.agent(&["post-script", "--execution-id", &id]);
        assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
        bed.all_thawed(&["z", "m", "a"]);
        fs::write(bed.path("a").join("dirty"), vec![1; 4 << 20]).unwrap();
    }
}

#[test]
fn scenario_7_an_over_mounted_filesystem_is_reached_elsewhere_or_refused() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.arm();
    run("mount", &["-t", "tmpfs", "cover", text(&bed.path("ext4"))]);
    let hidden = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!(hidden.code, 206);
    assert!(
        hidden.receipt.reason.contains("another mount lies on top"),
        "{}",
        hidden.receipt.reason
    );
    assert!(!bed.is_frozen("xfs"));
    run("umount", &[text(&bed.path("ext4"))]);
    fs::create_dir(bed.path("side")).unwrap();
    run("mount", &["--bind", text(&bed.path("ext4")), text(&bed.path("side"))]);
    run("mount", &["-t", "tmpfs", "cover", text(&bed.path("ext4"))]);
    let reached = bed.agent(&["pre-script", "--execution-id", &id(2)]);
    assert_eq!(reached.code, 0, "{reached:?}");
    let mounts: Vec<&str> = reached.receipt.frozen.iter().map(|one| one.mount.as_str()).collect();
    assert!(mounts.contains(&text(&bed.path("side"))), "{mounts:?}");
    assert!(bed.is_frozen("side"));
    assert!(!bed.is_frozen("ext4"), "that is the tmpfs on top");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id(2)]).code, 0);
}

#[test]
fn scenario_19_strange_mount_points() {
    let Some(bed) = Bed::new() else { return };
    let long = "x".repeat(200);
    for name in ["with space", "new\nline", "tab\tand \\040", "naïve-日本", &long] {
        bed.add("ext4", name);
    }
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id]);
    assert_eq!(pre.code, 0, "{pre:?}");
    assert_eq!(pre.receipt.frozen.len(), 5);
    assert!(pre.receipt.frozen.iter().any(|one| one.mount == text(&bed.path("new\nline"))));
    assert!(bed.is_frozen("with space") && bed.is_frozen("naïve-日本"));
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
}

#[test]
fn scenario_23_what_cannot_be_frozen_is_left_out_and_listed() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let read_only = bed.add("xfs", "readonly");
    run("mount", &["-o", "remount,ro", text(&read_only)]);
    let Some(swap) = swap_on(&bed) else { return };
    let mut listed = vec![(text(&read_only).to_owned(), "mounted read-only")];
    // Not every kernel has these two; where it has, they are left out.
    for (fs, make) in [("vfat", "mkfs.vfat"), ("squashfs", "mksquashfs")] {
        if let Some(point) = odd(&bed, fs, make) {
            listed.push((point, "no freeze"));
        }
    }
    let id = id(1);
    let pre = bed.agent(&["pre-script", "--execution-id", &id]);
    run("swapoff", &[&swap]);
    assert_eq!(pre.code, 0, "{pre:?}");
    assert_eq!(pre.receipt.frozen.len(), 1);
    for (mount, why) in listed {
        let entry = pre.receipt.left_out.iter().find(|out| out.mount == mount);
        assert!(entry.is_some_and(|out| out.why.contains(why)), "{mount}: {:?}", pre.receipt);
    }
    let pseudo = pre.receipt.left_out.iter().find(|out| out.why.contains("tmpfs"));
    assert!(pseudo.is_none(), "what is on no volume is not worth a receipt's space");
    assert_eq!(bed.agent(&["post-script", "--execution-id", &id]).code, 0);
}

/// A swap file in use, which other agents take for a mount point.
pub(super) fn swap_on(bed: &Bed) -> Option<String> {
    let file = bed.path("ext4").join("swap");
    fs::write(&file, vec![0; 4 << 20]).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    run("mkswap", &[text(&file)]);
    run("swapon", &[text(&file)]);
    Some(text(&file).to_owned())
}

fn odd(bed: &Bed, fs: &str, make: &str) -> Option<String> {
    let (image, point) = (bed.base.join(format!("{fs}.img")), bed.path(fs));
    fs::create_dir(&point).unwrap();
    let mut command = Command::new(make);
    if fs == "squashfs" {
        command.arg(bed.base.join("squashfs"));
    } else {
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    }
    let made = command.arg(&image).output().is_ok_and(|output| output.status.success());
    let mount = ["-o", "loop", text(&image), text(&point)];
    let mounted =
        made && Command::new("mount").args(mount).output().is_ok_and(|out| out.status.success());
    if !mounted {
        bed::skip(&format!("{fs}: this machine cannot make or mount it"));
    }
    mounted.then(|| text(&point).to_owned())
}

#[test]
fn a_filesystem_that_the_post_script_needs_is_refused() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let data = bed.path("ext4");
    // Covered by a tmpfs of this namespace, so that nothing is made on the machine.
    run("mount", &["-t", "tmpfs", "lib", "/var/lib"]);
    fs::create_dir_all("/var/lib/amazon/ssm").unwrap();
    run("mount", &["--bind", text(&data), "/var/lib/amazon/ssm"]);
    let refused = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!(refused.code, 206);
    assert!(refused.receipt.reason.contains("/var/lib/amazon/ssm"), "{}", refused.receipt.reason);
    bed.all_thawed(&["ext4"]);
}

#[test]
fn nothing_to_freeze_is_not_success() {
    let Some(bed) = Bed::new() else { return };
    let refused = bed.agent(&["pre-script", "--execution-id", &id(1)]);
    assert_eq!(refused.code, 206);
    assert!(refused.receipt.reason.contains("/: root filesystem"), "{}", refused.receipt.reason);
}

#[test]
fn only_filesystems_on_the_named_volumes_are_frozen() {
    let Some(bed) = Bed::with(&["ext4", "xfs", "btrfs"]) else { return };
    // In this namespace alone, the loop devices look as EBS volumes do.
    run("mount", &["-t", "tmpfs", "block", "/sys/dev/block"]);
    let device = |fs: &str, serial: &str| {
        let number = bed.device(fs);
        let folder = Path::new("/sys/dev/block").join(number).join("device");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("serial"), serial).unwrap();
        fs::write(folder.join("model"), "Amazon Elastic Block Store\n").unwrap();
    };
    device("ext4", "vol0000000000000000a\n");
    device("xfs", "vol0000000000000000b\n");
    let call = |number: u32, volumes: &str| {
        let id = id(number);
        let mut words = vec!["pre-script", "--execution-id", &id];
        if !volumes.is_empty() {
            words.extend(["--volumes", volumes]);
        }
        let pre = bed.agent(&words);
        let frozen = ["ext4", "xfs", "btrfs"].map(|name| bed.is_frozen(name));
        bed.agent(&["post-script", "--execution-id", &id]);
        (pre, frozen)
    };
    let (one, frozen) = call(1, "vol-0000000000000000b,vol-0000000000000000c");
    assert_eq!((one.code, frozen), (0, [false, true, false]), "{one:?}");
    assert_eq!(one.receipt.frozen[0].volumes, ["vol-0000000000000000b"]);
    let why = |name: &str| {
        let mount = bed.path(name);
        one.receipt.left_out.iter().find(|out| out.mount == text(&mount)).unwrap().why.clone()
    };
    assert!(why("ext4").contains("vol-0000000000000000a"), "{}", why("ext4"));
    assert!(why("btrfs").contains("cannot be told"), "{}", why("btrfs"));
    let (all, frozen) = call(2, "");
    assert_eq!((all.code, frozen), (0, [true, true, true]));
    let (none, frozen) = call(3, "vol-0000000000000000d");
    assert_eq!((none.code, frozen), (206, [false, false, false]));
}
