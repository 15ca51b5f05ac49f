//! The defects of AWS's sample documents for DLM's pre and post scripts, one test each:
//! what the sample does is in the test's first line, what ours does in its body.
//!
//! Two are about MySQL alone and belong to its adapter: 8 (the read lock is given up
//! when the client that took it ends, before the freeze) and 18 (waiting for that lock
//! without a limit stalls the whole server).

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use stillpoint_wire::receipt::HoldState;

use super::bed::{Answer, Bed, id, kill, run};

const FIFREEZE: libc::Ioctl = 0xC004_5877_u32 as libc::Ioctl;
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

fn ioctl(bed: &Bed, name: &str, request: libc::Ioctl) {
    let file = File::open(bed.path(name)).unwrap();
    // SAFETY: neither request uses its argument; the file is open.
    assert_eq!(unsafe { libc::ioctl(file.as_raw_fd(), request, 0) }, 0);
}

fn pre(bed: &Bed, number: u32, deadline: &str) -> Answer {
    bed.agent(&["pre-script", "--execution-id", &id(number), "--deadline", deadline])
}

fn post(bed: &Bed, number: u32) -> Answer {
    bed.agent(&["post-script", "--execution-id", &id(number)])
}

/// A hold and its end, both as they should be.
fn whole(bed: &Bed, number: u32, filesystems: usize) {
    let held = pre(bed, number, "20s");
    assert_eq!((held.code, held.receipt.frozen.len()), (0, filesystems), "{held:?}");
    let ended = post(bed, number);
    assert!(ended.code == 0 && ended.receipt.hold.as_ref().unwrap().unbroken, "{ended:?}");
}

fn bind(bed: &Bed, from: &str, to: &str) {
    fs::create_dir_all(bed.path(to)).unwrap();
    run("mount", &["--bind", bed.path(from).to_str().unwrap(), bed.path(to).to_str().unwrap()]);
}

/// The sample freezes a second mount of a filesystem again, fails, and leaves it frozen.
#[test]
fn defect_1_a_second_mount_of_a_filesystem() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    bind(&bed, "ext4", "again");
    whole(&bed, 1, 1);
    bed.all_thawed(&["ext4", "again"]);
}

/// The sample's post-script stops at the first filesystem that is thawed already.
#[test]
fn defect_2_one_filesystem_thawed_by_somebody_else_and_one_that_is_new() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    assert_eq!(pre(&bed, 1, "20s").code, 0);
    bed.add("ext4", "a-new-one");
    ioctl(&bed, "ext4", FITHAW);
    let ended = post(&bed, 1);
    assert_eq!((ended.code, ended.receipt.state), (203, HoldState::Broken), "{ended:?}");
    bed.all_thawed(&["a-new-one", "ext4", "xfs"]);
}

/// The sample ends at a filesystem without a freeze, and leaves those before it frozen.
#[test]
fn defect_3_a_filesystem_that_cannot_be_frozen() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    fs::create_dir(bed.path("z-memory")).unwrap();
    run("mount", &["-t", "tmpfs", "memory", bed.path("z-memory").to_str().unwrap()]);
    let options = format!("lowerdir={0},upperdir={1}/u,workdir={1}/w", "/etc", "ext4");
    let options = options.replace("ext4/", &format!("{}/", bed.path("ext4").display()));
    ["ext4/u", "ext4/w", "overlay"].iter().for_each(|name| fs::create_dir(bed.path(name)).unwrap());
    let point = bed.path("overlay");
    run("mount", &["-t", "overlay", "-o", &options, "layers", point.to_str().unwrap()]);
    whole(&bed, 1, 1);
    bed.all_thawed(&["ext4", "overlay", "z-memory"]);
}

/// The sample takes swap for a mount point: its pre-script never succeeds.
#[test]
fn defect_4_swap() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let Some(swap) = super::targets::swap_on(&bed) else { return };
    let held = pre(&bed, 1, "20s");
    let ended = post(&bed, 1);
    run("swapoff", &[&swap]);
    assert_eq!((held.code, ended.code), (0, 0), "{held:?}");
}

/// The sample's empty list of mounts is success: a snapshot is labelled for nothing.
#[test]
fn defect_5_nothing_found_is_not_success() {
    let Some(bed) = Bed::new() else { return };
    let none = pre(&bed, 1, "20s");
    assert_eq!((none.code, none.receipt.state), (206, HoldState::Refused));
}

/// The sample's timer outlives a failed post-script and thaws the next hold too early.
#[test]
fn defect_6_the_timer_of_a_hold_ends_with_it() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    assert_eq!(pre(&bed, 1, "1s").code, 0);
    ioctl(&bed, "ext4", FITHAW);
    assert_eq!(post(&bed, 1).code, 203);
    assert_eq!(pre(&bed, 2, "20s").code, 0);
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(bed.is_frozen("ext4"), "the first hold's second is over");
    assert!(post(&bed, 2).receipt.hold.unwrap().unbroken);
}

/// The sample thaws in the order of freezing, and hangs on a loop device's file.
#[test]
fn defect_7_a_filesystem_in_a_file_of_another() {
    let Some(bed) = Bed::new() else { return };
    bed.add_sized("ext4", "outer", 300);
    bed.add_on(&bed.path("outer").join("image"), "ext4", "inner");
    fs::write(bed.path("inner").join("dirty"), vec![1; 4 << 20]).unwrap();
    whole(&bed, 1, 2);
    bed.all_thawed(&["outer", "inner"]);
}

/// The sample arms its timer after the freezes, in the process group that SSM kills.
#[test]
fn defect_9_the_deadline_is_armed_first_and_survives_the_script() {
    use std::os::unix::process::CommandExt;
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let id = id(1);
    let mut client = bed.command(&["pre-script", "--execution-id", &id, "--deadline", "1s"]);
    client.env("STILLPOINT_FAIL_POINT", "holder.after-freeze=stop").process_group(0);
    let mut client = client.spawn().unwrap();
    let page = format!("/run/stillpoint/run-{id}.page");
    while !std::path::Path::new(&page).exists() || !bed.is_frozen("ext4") {
        std::thread::sleep(Duration::from_millis(5));
    }
    // In the middle of the freezes: the holder stopped, the script's group killed.
    kill(-i32::try_from(client.id()).unwrap(), libc::SIGKILL);
    client.wait().unwrap();
    for name in ["ext4", "xfs"] {
        bed.thawed_after(name, Duration::from_secs(4));
    }
    assert_eq!(post(&bed, 1).code, 205);
}

/// The sample's check remounts everything, and access times are off ever after.
#[test]
fn defect_10_mount_options_stay_as_they_were() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let table = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let before = table();
    whole(&bed, 1, 2);
    assert_eq!(bed.agent(&["dry-run"]).code, 0);
    let after = table();
    assert!(before == after, "the mount table has changed: {before} {after}");
}

/// The sample's timer takes every failed thaw for "thawed already" and ends.
#[test]
fn defect_11_the_auto_thaw_goes_on_after_a_thaw_that_fails() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    assert_eq!(pre(&bed, 1, "1s").code, 0);
    ioctl(&bed, "btrfs", FITHAW);
    bed.thawed_after("ext4", Duration::from_millis(1_500));
    bed.thawed_after("xfs", Duration::from_millis(300));
    let ended = post(&bed, 1);
    assert_eq!((ended.code, ended.receipt.state), (203, HoldState::AutoThawed), "{ended:?}");
}

/// The sample's messages name no error: the variables are misspelt.
#[test]
fn defect_12_an_error_names_the_filesystem_and_the_cause() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.arm();
    ioctl(&bed, "xfs", FIFREEZE);
    let busy = pre(&bed, 1, "20s");
    let mount = bed.path("xfs");
    assert!(busy.receipt.reason.contains(mount.to_str().unwrap()), "{}", busy.receipt.reason);
    assert!(busy.receipt.reason.contains("frozen already"), "{}", busy.receipt.reason);
    ioctl(&bed, "xfs", FITHAW);
}

/// The sample never looks at the execution id, and has no lock.
#[test]
fn defect_13_a_post_script_ends_the_hold_of_its_own_execution_only() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    assert_eq!(pre(&bed, 1, "20s").code, 0);
    assert_eq!((pre(&bed, 2, "20s").code, post(&bed, 2).code), (204, 205));
    assert!(bed.is_frozen("ext4"));
    assert_eq!(post(&bed, 1).code, 0);
}

/// The sample documents 203 and 206 and returns neither.
#[test]
fn defect_14_each_code_means_what_its_page_says() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    assert_eq!(post(&bed, 1).code, 205);
    assert_eq!(pre(&bed, 1, "1s").code, 0);
    bed.thawed_after("ext4", Duration::from_millis(1_500));
    assert_eq!(post(&bed, 1).code, 203);
    let unknown = bed.agent(&["dry-run", "--volumes", "vol-0123456789abcdef0"]);
    assert_eq!(unknown.code, 206);
}

/// The sample finds its timer by a text in any command line, and kills that group.
#[test]
fn defect_15_nobody_is_killed_for_a_name() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let words = ["-c", "sleep 60; : execute_schedule_auto_thaw stillpoint-agent sp-holder"];
    let mut innocent = Command::new("sh").args(words).stdout(Stdio::null()).spawn().unwrap();
    whole(&bed, 1, 1);
    assert!(innocent.try_wait().unwrap().is_none(), "it was killed");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

/// The sample asks systemd for one name of the database's unit, and skips it silently.
#[test]
fn defect_16_an_application_that_is_not_found_is_refused() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let words = ["pre-script", "--execution-id", &id(1), "--application", "postgresql"];
    let refused = bed.agent(&words);
    assert_eq!((refused.code, refused.receipt.state), (206, HoldState::Refused), "{refused:?}");
    assert!(refused.receipt.reason.contains("PostgreSQL"), "{}", refused.receipt.reason);
    assert!(!bed.is_frozen("ext4"));
}

/// The sample skips every path with "/boot" in it, and the root, without a word.
#[test]
fn defect_17_what_is_left_out_is_decided_by_the_filesystem_and_listed() {
    let Some(bed) = Bed::new() else { return };
    bed.add("ext4", "bootstrap");
    bed.add("ext4", "data/boot");
    whole(&bed, 1, 2);
    let dry = bed.agent(&["dry-run"]);
    assert!(dry.receipt.left_out.iter().any(|out| out.why.contains("root")), "{dry:?}");
}

/// The sample's paths are not quoted, and it starts programs while their filesystem is
/// frozen; that ours starts none is proven in `trace`, that it flushes before in `flush`.
#[test]
fn defect_19_spaces_globs_and_a_program_on_what_is_frozen() {
    let Some(bed) = Bed::new() else { return };
    for name in ["with space", "*", "$HOME"] {
        bed.add("ext4", name);
    }
    let agent = bed.command(&[]).get_program().to_owned();
    let copy = bed.path("*").join("agent");
    fs::copy(agent, &copy).unwrap();
    let id = id(1);
    for stage in ["pre-script", "post-script"] {
        let output = Command::new(&copy).args([stage, "--execution-id", &id]).output().unwrap();
        let told = super::bed::answer(&output);
        assert_eq!((told.code, told.receipt.frozen.len()), (0, 3), "{told:?}");
    }
    bed.all_thawed(&["with space", "*", "$HOME"]);
}

/// The sample for IRIS does not undo the others when one instance fails.
#[test]
fn defect_20_one_that_fails_undoes_all() {
    let Some(bed) = Bed::with(&["btrfs", "ext4", "xfs"]) else { return };
    bed.arm();
    ioctl(&bed, "ext4", FIFREEZE);
    assert_eq!(pre(&bed, 1, "20s").code, 204);
    bed.all_thawed(&["btrfs", "xfs"]);
    ioctl(&bed, "ext4", FITHAW);
}
