//! Servers that cannot be had here, replaced at their protocol or at their vendor's client by
//! stand-ins that follow the vendor's manual, failures too.

mod hana;
mod iris;
mod mongodb;
mod mysql8;
mod sqlserver;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::HoldState;

use super::bed::{Answer, Bed, id, run};
use super::etc;

/// A bed with ext4, and a folder in memory where a stand-in keeps its state.
pub(super) struct Stage {
    pub(super) bed: Bed,
    pub(super) state: PathBuf,
    application: &'static str,
    processes: Vec<Child>,
}

impl Stage {
    fn new(application: &'static str) -> Option<Self> {
        let bed = Bed::with(&["ext4"])?;
        etc::cover(&bed);
        let state = bed.path("state");
        fs::create_dir(&state).unwrap();
        Some(Self { bed, state, application, processes: Vec::new() })
    }

    /// Puts a stand-in where its vendor's program would be, in this namespace alone.
    fn program(&self, path: &Path, text: &str) {
        let text = text.replace("@STATE@", self.state.to_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A folder that the namespace sees empty.
    fn cover(&self, folder: &str) {
        run("mount", &["-t", "tmpfs", "cover", folder]);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.state.join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.state.join(name)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.state.join(name)).unwrap_or_default()
    }

    fn has(&self, name: &str) -> bool {
        self.state.join(name).exists()
    }

    /// Starts a process, and waits until a file is there.
    fn start(&mut self, mut command: Command, ready: &Path) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        self.processes.push(command.spawn().unwrap());
        let begun = Instant::now();
        while !ready.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the stand-in does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self) {
        for mut process in self.processes.drain(..) {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn pre(&self, number: u32) -> Answer {
        let id = id(number);
        let words = ["--execution-id", &id, "--application", self.application];
        self.bed.agent(&[&["pre-script"], &words[..]].concat())
    }

    fn post(&self, number: u32) -> Answer {
        self.bed.agent(&["post-script", "--execution-id", &id(number)])
    }

    fn held(&self, number: u32) -> Answer {
        let held = self.pre(number);
        assert_eq!((held.code, held.receipt.state), (0, HoldState::Held), "{held:?}");
        assert!(self.bed.is_frozen("ext4"));
        assert!(held.receipt.applications.iter().all(|app| app.state == "quiesced"), "{held:?}");
        held
    }

    fn released(&self, number: u32) -> Answer {
        let post = self.post(number);
        assert_eq!((post.code, post.receipt.state), (0, HoldState::Released), "{post:?}");
        assert!(post.receipt.hold.as_ref().unwrap().unbroken);
        assert!(post.receipt.applications.iter().all(|app| app.state == "released"), "{post:?}");
        post
    }

    fn refused(&self, number: u32, word: &str) {
        let answer = self.pre(number);
        assert_eq!((answer.code, answer.receipt.state), (206, HoldState::Refused), "{answer:?}");
        assert!(answer.receipt.reason.contains(word), "{word}: {answer:?}");
    }

    fn failed(&self, number: u32, word: &str) {
        let answer = self.pre(number);
        assert_eq!((answer.code, answer.receipt.state), (201, HoldState::Failed), "{answer:?}");
        assert!(answer.receipt.reason.contains(word), "{word}: {answer:?}");
        self.bed.all_thawed(&["ext4"]);
    }

    fn ended(&self, number: u32, code: i32, word: &str) {
        let answer = self.post(number);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.receipt.reason.contains(word), "{word}: {answer:?}");
        self.bed.all_thawed(&["ext4"]);
    }

    /// Waits for the stand-in to have written this: it writes down what it did after its answer.
    fn comes_to(&self, file: &str, expected: &str) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while self.read(file) != expected && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(self.read(file), expected);
    }

    /// A hold whose processes are all killed; whatever comes next has to undo it.
    fn abandoned(&self, number: u32) {
        self.held(number);
        self.bed.kill_all(&id(number));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        // The next stage of this thread covers it again, and that goes only so deep.
        let _ = Command::new("umount").args(["-l", "/etc"]).status();
    }
}
