//! A process of its own that thaws every filesystem of a bed, whatever became of the
//! test: when the test closes its standard input, or when its time is up.
//!
//! The test binary is its program: started with [`VARIABLE`] set and this one test
//! selected, it becomes the watchdog.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const VARIABLE: &str = "STILLPOINT_TEST_WATCHDOG";
const FITHAW: libc::Ioctl = 0xC004_5878_u32 as libc::Ioctl;

/// Exit code of a watchdog that found something frozen.
pub(super) const FOUND_FROZEN: i32 = 9;

/// Starts a watchdog over mount points, and waits until it has them open.
pub(super) fn start(mounts: &[&Path], limit: Duration) -> Child {
    let list: Vec<String> = mounts.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let setting = serde_json::json!({ "mounts": list, "ms": limit.as_millis() }).to_string();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent::watchdog::process", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, setting)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stderr.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    child
}

#[test]
fn process() {
    let Ok(setting) = std::env::var(VARIABLE) else { return };
    let setting: serde_json::Value = serde_json::from_str(&setting).unwrap();
    let mounts = setting["mounts"].as_array().unwrap();
    let open = |path: &serde_json::Value| File::open(path.as_str().unwrap()).unwrap();
    let files: Vec<File> = mounts.iter().map(open).collect();
    eprintln!("ready");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    let _ = receiver.recv_timeout(Duration::from_millis(setting["ms"].as_u64().unwrap()));
    // SAFETY: FITHAW ignores its argument; the files are open.
    let thawed = files
        .iter()
        .filter(|file| unsafe { libc::ioctl(file.as_raw_fd(), FITHAW, 0) } == 0)
        .count();
    std::process::exit(if thawed > 0 { FOUND_FROZEN } else { 0 });
}
