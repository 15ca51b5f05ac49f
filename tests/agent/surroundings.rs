//! What else is on a machine: mounts that do not answer, a daemon that has to allow every
//! open, and a log that lies on what is frozen.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{self, Bed, answer, id};

/// Longer than any call that waits for nobody takes on a busy machine, and shorter than a hold.
const PROMPT: Duration = Duration::from_secs(7);

fn c_string(text: &str) -> std::ffi::CString {
    std::ffi::CString::new(text).unwrap()
}

fn mount_by_hand(point: &Path, fs: &str, options: &str) {
    let (point, fs, options) = (c_string(point.to_str().unwrap()), c_string(fs), c_string(options));
    // SAFETY: all pointers are to live strings with their terminators.
    let result = unsafe {
        libc::mount(fs.as_ptr(), point.as_ptr(), fs.as_ptr(), 0, options.as_ptr().cast())
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn scenario_22_mounts_that_never_answer_are_never_touched() {
    let Some(bed) = Bed::with(&["ext4"]) else { return };
    let (fuse, auto) = (bed.path("fuse"), bed.path("auto"));
    fs::create_dir(&fuse).unwrap();
    fs::create_dir(&auto).unwrap();
    // Its server never reads a request, so that whoever asks it anything waits.
    let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let fd = server.as_raw_fd();
    mount_by_hand(&fuse, "fuse", &format!("fd={fd},rootmode=40000,user_id=0,group_id=0"));
    let (_requests, pipe) = pipe();
    // SAFETY: getpgid takes an integer.
    let group = unsafe { libc::getpgid(0) };
    let options = format!("fd={},pgrp={group},minproto=5,maxproto=5,direct", pipe.as_raw_fd());
    mount_by_hand(&auto, "autofs", &options);

    let id = id(1);
    for stuck in [&fuse, &auto] {
        let mut list = std::process::Command::new("ls");
        let child = list.arg(stuck).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let answered = output_within(child, Duration::from_millis(500));
        assert!(answered.is_none(), "{} answers", stuck.display());
    }
    for stage in ["dry-run", "pre-script", "post-script"] {
        // In the group of its daemon an automatic mount would let everybody through.
        let mut command = bed.command(&[stage, "--execution-id", &id]);
        let output = output_within(command.process_group(0).spawn().unwrap(), PROMPT);
        let told = answer(&output.unwrap_or_else(|| panic!("{stage} waits for a mount")));
        assert_eq!(told.code, 0, "{told:?}");
    }
    let name = c_string(fuse.to_str().unwrap());
    // SAFETY: the pointer is to a live string with its terminator.
    unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) };
}

fn output_within(child: Child, limit: Duration) -> Option<Output> {
    let pid = i32::try_from(child.id()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(limit);
    if output.is_err() {
        super::bed::kill(pid, libc::SIGKILL);
    }
    output.ok().map(|output| output.unwrap())
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two live integers; both ends become files of ours.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// A daemon that has to allow every open, and first writes each of them to its own
/// database; while that is frozen, nothing is opened on the mounts that it guards.
fn guard(mounts: &[&Path], database: &Path) -> Option<File> {
    let database = File::create(database).unwrap();
    // SAFETY: fanotify_init takes two integers and returns a descriptor of ours.
    let fd = unsafe { libc::fanotify_init(libc::FAN_CLASS_CONTENT, 0) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel has just returned this descriptor.
    let guard = unsafe { File::from_raw_fd(fd) };
    for mount in mounts {
        let path = c_string(mount.to_str().unwrap());
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_MOUNT;
        // SAFETY: the pointer is to a live string with its terminator.
        let marked = unsafe {
            libc::fanotify_mark(fd, flags, libc::FAN_OPEN_PERM, libc::AT_FDCWD, path.as_ptr())
        };
        if marked != 0 {
            return None;
        }
    }
    let mut events = guard.try_clone().unwrap();
    std::thread::spawn(move || {
        let size = size_of::<libc::fanotify_event_metadata>();
        let mut bytes = vec![0_u8; size];
        while events.read_exact(&mut bytes).is_ok() {
            // SAFETY: the kernel has filled the buffer with one such structure.
            let event: libc::fanotify_event_metadata =
                unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) };
            if event.fd < 0 {
                return;
            }
            let _ = std::io::Write::write_all(&mut &database, b"opened\n");
            let reply = libc::fanotify_response { fd: event.fd, response: libc::FAN_ALLOW };
            // SAFETY: a live structure of the size that is passed; the event's descriptor is
            // ours to close.
            unsafe {
                let pointer: *const libc::fanotify_response = &raw const reply;
                libc::write(events.as_raw_fd(), pointer.cast(), size_of_val(&reply));
                libc::close(event.fd);
            }
        }
    });
    Some(guard)
}

/// Without marks the daemon has nothing to allow any more.
fn stop_guarding(guard: &File) {
    let flags = libc::FAN_MARK_FLUSH | libc::FAN_MARK_MOUNT;
    // SAFETY: with this flag the path is not looked at.
    unsafe { libc::fanotify_mark(guard.as_raw_fd(), flags, 0, libc::AT_FDCWD, c"/".as_ptr()) };
}

#[test]
fn scenario_4_a_daemon_that_allows_opens_and_waits_for_a_frozen_filesystem() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    bed.arm();
    let id = id(1);
    let begun = Instant::now();
    let mut pre = bed.command(&["pre-script", "--execution-id", &id, "--deadline", "2s"]);
    // Held until the daemon is there, so that the program itself can be opened.
    pre.env("STILLPOINT_FAIL_POINT", "holder.prepared=500");
    let pre = pre.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(250));
    let mounts = ["/", "/run", "ext4", "xfs", ""].map(|name| bed.path(name));
    let guarded: Vec<&Path> = mounts.iter().map(std::path::PathBuf::as_path).collect();
    let Some(guard) = guard(&guarded, &bed.path("xfs").join("database")) else {
        bed::skip("this kernel has no permission events");
        pre.wait_with_output().unwrap();
        return;
    };
    // The client, the holder and the sentinels get through all of it without an open.
    let pre = answer(&pre.wait_with_output().unwrap());
    let took = begun.elapsed();
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held), "{pre:?}");
    assert!(took < Duration::from_millis(1_500), "it has waited for the thaw: {took:?}");
    // No program can be opened now, the post-script's neither: the deadline ends it.
    bed.thawed_after("ext4", Duration::from_secs(4));
    let post = bed.agent(&["post-script", "--execution-id", &id]);
    assert_eq!((post.code, post.receipt.state), (203, HoldState::AutoThawed), "{post:?}");
    bed.all_thawed(&["xfs"]);
    stop_guarding(&guard);
}

#[test]
fn scenario_24_nothing_is_logged_while_the_logs_filesystem_is_frozen() {
    let Some(bed) = Bed::with(&["ext4", "xfs"]) else { return };
    let log = bed.path("ext4").join("log");
    let id = id(1);
    let mut pre = bed.command(&["pre-script", "--execution-id", &id, "--deadline", "20s"]);
    // What the holder has said before the freeze, the client hears after it.
    pre.stderr(Stdio::from(File::create(&log).unwrap()));
    pre.env("STILLPOINT_FAIL_POINT", "client.logs=300");
    let pre = answer(&output_within(pre.spawn().unwrap(), PROMPT).expect("it waits for its log"));
    assert_eq!((pre.code, pre.receipt.state), (0, HoldState::Held));
    assert!(bed.is_frozen("ext4"));
    let mut post = bed.command(&["post-script", "--execution-id", &id]);
    post.stderr(Stdio::from(File::options().append(true).open(&log).unwrap()));
    let post = answer(&output_within(post.spawn().unwrap(), PROMPT).expect("it waits for its log"));
    assert!(post.code == 0 && post.receipt.hold.as_ref().unwrap().unbroken, "{post:?}");
    bed.all_thawed(&["ext4", "xfs"]);
}
