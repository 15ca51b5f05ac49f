//! What a receipt says for every way that a hold can end, from the page and the record
//! alone.

use std::fs::{self, OpenOptions};

use stillpoint_agent::cli::Stage;
use stillpoint_agent::hold::{CAUSES, Cause, Event};
use stillpoint_agent::page::{Fs, Page};
use stillpoint_agent::receipt;
use stillpoint_agent::record::{Record, Remembered};
use stillpoint_wire::receipt::{Application, HoldState, Receipt};

struct Case {
    record: Record,
    page: Page,
}

impl Case {
    /// Two filesystems and a database; nothing has happened.
    fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("stillpoint-page-{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path).unwrap();
        let page = Page::create(&file, 2).unwrap();
        fs::remove_file(&path).unwrap();
        let filesystem = |mount: &str| Remembered {
            mount: mount.into(),
            mount_id: 1,
            fs: "ext4".into(),
            dev: "259:1".into(),
            volumes: Vec::new(),
        };
        let record = Record {
            execution_id: "id".into(),
            boot_id: "boot".into(),
            agent: "0".into(),
            deadline_ms: 60_000,
            processes: Vec::new(),
            filesystems: vec![filesystem("/one"), filesystem("/two")],
            left_out: Vec::new(),
            applications: vec![Application {
                name: "postgresql".into(),
                version: "15".into(),
                state: "released".into(),
                position: "0/1".into(),
            }],
            restore_notes: Vec::new(),
            reason: String::new(),
            closed: true,
        };
        Self { record, page }
    }

    /// Frozen, and the client has acknowledged.
    fn held() -> Self {
        let case = Self::new();
        assert!(case.page.apply(Event::Arm));
        for index in 0..2 {
            assert!(case.page.change(index, Fs::Idle, Fs::Freezing));
            assert!(case.page.change(index, Fs::Freezing, Fs::Frozen));
        }
        assert!(case.page.apply(Event::AllFrozen) && case.page.apply(Event::Acknowledge));
        case
    }

    fn ended(self, cause: Cause) -> Self {
        assert!(self.page.apply(Event::Stop(cause, 1)));
        self
    }

    fn thawed(self, how: [Fs; 2]) -> Self {
        for (index, to) in how.into_iter().enumerate() {
            assert!(self.page.change(index, Fs::Frozen, Fs::Thawing(0)));
            assert!(self.page.change(index, Fs::Thawing(0), to));
        }
        if !self.page.any(Fs::is_open) {
            self.page.apply(Event::AllThawed);
        }
        self
    }

    fn says(&self, stage: Stage) -> (u8, HoldState, Receipt) {
        let receipt = receipt::of_hold(stage, &self.record, self.page);
        (receipt.code, receipt.state, receipt)
    }

    fn post(&self) -> (u8, HoldState, bool) {
        let (code, state, receipt) = self.says(Stage::PostScript);
        (code, state, receipt.hold.is_some_and(|hold| hold.unbroken))
    }
}

#[test]
fn only_a_whole_hold_that_the_post_script_ended_is_unbroken() {
    let whole = || Case::held().ended(Cause::PostScript).thawed([Fs::Thawed; 2]);
    assert_eq!(whole().post(), (0, HoldState::Released, true));

    let lost = Case::held().ended(Cause::PostScript).thawed([Fs::Thawed, Fs::Lost]);
    assert_eq!(lost.post(), (203, HoldState::Broken, false));
    assert!(lost.says(Stage::PostScript).2.reason.contains("/two"));

    let mut restarted = whole();
    restarted.record.applications[0].state = "lost".into();
    restarted.record.reason = "it restarted".into();
    assert_eq!(restarted.post(), (203, HoldState::Broken, false));
    assert_eq!(restarted.says(Stage::PostScript).2.reason, "it restarted");

    let mut unasked = whole();
    unasked.record.closed = false;
    assert_eq!(unasked.post(), (203, HoldState::Broken, false));
    assert_eq!(unasked.says(Stage::PostScript).2.applications[0].state, "lost");

    let stuck = Case::held().ended(Cause::PostScript).thawed([Fs::Thawed, Fs::Frozen]);
    assert_eq!(stuck.post(), (202, HoldState::Failed, false));
    assert!(stuck.says(Stage::PostScript).2.reason.contains("still frozen: /two"));
}

#[test]
fn every_other_end_of_an_acknowledged_hold_is_203() {
    for cause in CAUSES {
        let expected = match cause {
            Cause::PostScript | Cause::ClientGone => continue,
            Cause::Deadline => HoldState::AutoThawed,
            _ => HoldState::Broken,
        };
        let case = Case::held().ended(cause).thawed([Fs::Thawed; 2]);
        assert_eq!(case.post(), (203, expected, false), "{cause:?}");
        let (code, _, receipt) = case.says(Stage::Thaw);
        assert_eq!(code, if cause == Cause::Operator { 0 } else { 203 }, "{cause:?}");
        let hold = receipt.hold.unwrap();
        assert!(hold.released_at_ms.unwrap() <= hold.frozen_at_ms + hold.frozen_ms.unwrap());
    }
}

#[test]
fn every_failed_pre_script_is_told_as_what_it_was() {
    for cause in CAUSES {
        let mut case = Case::new().ended(cause);
        case.record.reason = "because".into();
        let expected = match cause {
            Cause::FreezeBusy => (204, HoldState::AlreadyHeld),
            Cause::Busy => (206, HoldState::Refused),
            _ => (201, HoldState::Failed),
        };
        let (code, state, receipt) = case.says(Stage::PreScript);
        assert_eq!((code, state), expected, "{cause:?}");
        assert!(!receipt.reason.is_empty(), "{cause:?}");
        assert!(receipt.hold.is_none(), "there was no hold to speak of");
        assert_eq!(case.post(), (205, HoldState::NothingHeld, false), "{cause:?}");
    }
}

#[test]
fn a_freeze_that_does_not_return_is_named_until_it_is_thawed() {
    let case = Case::new();
    assert!(case.page.apply(Event::Arm) && case.page.change(1, Fs::Idle, Fs::Freezing));
    let case = case.ended(Cause::FreezeStuck);
    let (code, _, receipt) = case.says(Stage::PreScript);
    assert_eq!(code, 201);
    assert!(receipt.reason.contains("not thawed yet, the kernel holds it: /two"), "{receipt:?}");
    assert_eq!(case.post(), (202, HoldState::Failed, false));
}
