//! The page of memory that holder, sentinels and later calls of the agent share: how
//! the hold stands, and for every filesystem whether we froze it and who thaws it.
//!
//! It is a file on tmpfs, mapped, so that what it says outlives every process that
//! wrote it: a post-script that finds nobody alive still learns the truth. It holds
//! words only; names and texts are in the record (`state`). Nothing here blocks,
//! allocates or calls the kernel, except for the clock.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::hold::{Event, Hold, Phase};
use crate::sys;

/// One page: the head and 124 filesystems of four words. The instance type with the
/// most EBS attachments has 128; the root volume is never among the filesystems.
pub const FILESYSTEMS_MAX: usize = 124;
const WORDS: usize = 512;
const HEAD: usize = 16;
const ENTRY: usize = 4;

/// Also the layout's version: another one is another agent's page.
const MAGIC: u64 = 0x5354_494c_4c50_0001;

/// What one filesystem is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fs {
    /// Not touched, or its freeze failed.
    Idle,
    /// FIFREEZE was called and has not returned.
    Freezing,
    /// FIFREEZE returned success to us: a thaw is owed.
    Frozen,
    /// A process of this rank is calling FITHAW.
    Thawing(u8),
    /// FITHAW returned success to us.
    Thawed,
    /// FITHAW said that it was not frozen: somebody else had thawed it.
    Lost,
}

impl Fs {
    fn encode(self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Freezing => 1,
            Self::Frozen => 2,
            Self::Thawing(rank) => 3 | u64::from(rank) << 8,
            Self::Thawed => 4,
            Self::Lost => 5,
        }
    }

    fn decode(word: u64) -> Self {
        let [kind, rank, ..] = word.to_le_bytes();
        match kind {
            1 => Self::Freezing,
            2 => Self::Frozen,
            3 => Self::Thawing(rank),
            4 => Self::Thawed,
            5 => Self::Lost,
            _ => Self::Idle,
        }
    }

    /// Whether a thaw may still be owed.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Freezing | Self::Frozen | Self::Thawing(_))
    }
}

/// The head's words, in their order.
#[derive(Clone, Copy)]
enum Word {
    Magic,
    Hold,
    Count,
    DeadlineAt,
    Heartbeat,
    SentinelsReady,
    RcuExpedited,
    EndedAt,
    AcknowledgedAt,
    FreezeErrno,
}

/// A handle on the page; copies are the same page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    words: &'static [AtomicU64],
}

impl Page {
    /// Makes a fresh page of an empty file.
    pub fn create(file: &File, filesystems: usize) -> io::Result<Self> {
        // Written, not only made long: in a full tmpfs the first access would be the death of
        // its process.
        (&*file).write_all(&[0; WORDS * size_of::<u64>()])?;
        let page = Self { words: sys::map_words(file, WORDS, true)? };
        page.word(Word::Count).store(filesystems.min(FILESYSTEMS_MAX) as u64, SeqCst);
        page.word(Word::Hold).store(Hold::NEW.encode(), SeqCst);
        page.word(Word::Magic).store(MAGIC, SeqCst);
        Ok(page)
    }

    /// Opens a page that another call of the agent made.
    pub fn open(file: &File, writable: bool) -> io::Result<Self> {
        let page = Self { words: sys::map_words(file, WORDS, writable)? };
        if page.word(Word::Magic).load(SeqCst) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a page of this agent"));
        }
        Ok(page)
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        &self.words[word as usize]
    }

    fn entry(&self, index: usize, field: usize) -> &AtomicU64 {
        &self.words[HEAD + index.min(FILESYSTEMS_MAX - 1) * ENTRY + field]
    }

    /// How many filesystems there are.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.word(Word::Count).load(SeqCst)).unwrap_or(0).min(FILESYSTEMS_MAX)
    }

    /// How the hold stands.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold::decode(self.word(Word::Hold).load(SeqCst)).unwrap_or(Hold::NEW)
    }

    /// Moves the hold; true when this very call moved it, so that of several processes
    /// that end a hold at the same instant exactly one has decided how.
    pub fn apply(&self, event: Event) -> bool {
        loop {
            let before = self.hold();
            let Some(after) = before.after(event) else { return false };
            let word = self.word(Word::Hold);
            if word.compare_exchange(before.encode(), after.encode(), SeqCst, SeqCst).is_ok() {
                match event {
                    Event::Stop(..) => self.word(Word::EndedAt).store(sys::boottime_ns(), SeqCst),
                    Event::Acknowledge => {
                        self.word(Word::AcknowledgedAt).store(sys::boottime_ns(), SeqCst);
                    }
                    _ => {}
                }
                return true;
            }
        }
    }

    /// Sets the deadline, on the boot clock.
    pub fn set_deadline_ns(&self, at: u64) {
        self.word(Word::DeadlineAt).store(at, SeqCst);
    }

    /// The deadline on the boot clock; zero while it is not set.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.word(Word::DeadlineAt).load(SeqCst)
    }

    /// When it was decided that the hold ends; zero while it was not.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.word(Word::EndedAt).load(SeqCst)
    }

    /// When the client had its answer; zero while it had none.
    #[must_use]
    pub fn acknowledged_ns(&self) -> u64 {
        self.word(Word::AcknowledgedAt).load(SeqCst)
    }

    /// Notes the error of the freeze that the kernel refused.
    pub fn note_freeze_errno(&self, errno: i32) {
        self.word(Word::FreezeErrno).store(u64::from(errno.unsigned_abs()), SeqCst);
    }

    /// The error of the freeze that the kernel refused.
    #[must_use]
    pub fn freeze_errno(&self) -> i32 {
        i32::try_from(self.word(Word::FreezeErrno).load(SeqCst)).unwrap_or(0)
    }

    /// The holder shows that it runs.
    pub fn beat(&self) {
        self.word(Word::Heartbeat).fetch_add(1, SeqCst);
    }

    /// How often the holder has shown that it runs.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.word(Word::Heartbeat).load(SeqCst)
    }

    /// A sentinel is ready to thaw.
    pub fn sentinel_ready(&self) {
        self.word(Word::SentinelsReady).fetch_add(1, SeqCst);
    }

    /// How many sentinels are ready to thaw.
    #[must_use]
    pub fn sentinels_ready(&self) -> u64 {
        self.word(Word::SentinelsReady).load(SeqCst)
    }

    /// Notes that the RCU switch is on because of us, before it is turned on.
    pub fn note_expedited(&self, on: bool) {
        self.word(Word::RcuExpedited).store(u64::from(on), SeqCst);
    }

    /// Whether the RCU switch may be on because of us.
    #[must_use]
    pub fn is_expedited(&self) -> bool {
        self.word(Word::RcuExpedited).load(SeqCst) != 0
    }

    /// Whether the hold is over and no switch of the kernel's may be on because of it.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.hold().phase == Phase::Over && !self.is_expedited()
    }

    /// What one filesystem is to us.
    #[must_use]
    pub fn fs(&self, index: usize) -> Fs {
        Fs::decode(self.entry(index, 0).load(SeqCst))
    }

    /// Changes what one filesystem is to us, if it still is what it was; true when this
    /// very call changed it. A thaw is claimed this way before FITHAW is called.
    pub fn change(&self, index: usize, from: Fs, to: Fs) -> bool {
        let entry = self.entry(index, 0);
        let changed = entry.compare_exchange(from.encode(), to.encode(), SeqCst, SeqCst).is_ok();
        if changed {
            let field = match to {
                Fs::Freezing => Some(1),
                Fs::Frozen if from == Fs::Freezing => Some(2),
                Fs::Thawed | Fs::Lost => Some(3),
                _ => None,
            };
            if let Some(field) = field {
                self.entry(index, field).store(sys::boottime_ns(), SeqCst);
            }
        }
        changed
    }

    /// When FIFREEZE was called, when it returned, and when FITHAW returned; zero where
    /// it did not happen.
    #[must_use]
    pub fn times_ns(&self, index: usize) -> [u64; 3] {
        [1, 2, 3].map(|field| self.entry(index, field).load(SeqCst))
    }

    /// The filesystems in any state that `wanted` accepts.
    pub fn any(&self, wanted: fn(Fs) -> bool) -> bool {
        (0..self.count()).any(|index| wanted(self.fs(index)))
    }
}
