//! The life of one hold as a pure state machine: no clock, no I/O, no memory of its own.
//!
//! ```text
//!   Preparing ──▶ Armed ──▶ Frozen ──▶ Acknowledged ──▶ Ending ──▶ Over
//!       └───────────┴──────────┴─────────── failed ───────▲
//! ```
//!
//! Holder and sentinels share one [`Hold`] as one word of memory and move it by
//! compare-and-swap (`page`). The first to end it decides how it ended, which is what
//! makes a post-script that races the auto-thaw get one true answer.

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Flushing and talking to applications; nothing is frozen.
    Preparing = 1,
    /// The deadline runs and the sentinels watch; filesystems are being frozen.
    Armed = 2,
    /// Everything is frozen; the client does not know yet.
    Frozen = 3,
    /// The client knows: the pre-script has succeeded.
    Acknowledged = 4,
    /// It is decided how the hold ends; filesystems are being thawed.
    Ending = 5,
    /// Nothing of ours is frozen any more.
    Over = 6,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// Not yet.
    None = 0,
    /// By the post-script, in time.
    Released = 1,
    /// By the deadline.
    AutoThawed = 2,
    /// By something that was not supposed to happen.
    Broken = 3,
    /// Before the pre-script had succeeded.
    Failed = 4,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Not yet.
    None = 0,
    /// The post-script asked for it.
    PostScript = 1,
    /// The deadline passed.
    Deadline = 2,
    /// The client went away before it had acknowledged.
    ClientGone = 3,
    /// The holder process died.
    HolderGone = 4,
    /// The holder process was stopped, or starved beyond what can be told from it.
    HolderSilent = 5,
    /// Every sentinel died: nobody would thaw if the holder died next.
    SentinelsGone = 6,
    /// The holder was asked to stop, as at shutdown.
    Signal = 7,
    /// An operator asked for a thaw.
    Operator = 8,
    /// The kernel refused to freeze a filesystem.
    FreezeRefused = 9,
    /// A filesystem was frozen already, by somebody else.
    FreezeBusy = 10,
    /// A freeze did not return within the budget.
    FreezeStuck = 11,
    /// Preparation took longer than the pre-script may take.
    Budget = 12,
    /// An application could not be quiesced.
    Application = 13,
    /// What is dirty could not be written out in time; nothing was touched.
    Busy = 14,
}

/// One hold: where it is, how and why it ended, and on account of which filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How far it has come.
    pub phase: Phase,
    /// How it ended.
    pub end: End,
    /// Why it ended.
    pub cause: Cause,
    /// The filesystem that the cause is about, where it is about one.
    pub filesystem: u16,
}

/// What can happen to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything slow is done, the deadline is set, the sentinels watch.
    Arm,
    /// The last filesystem is frozen.
    AllFrozen,
    /// The client has been told and has answered.
    Acknowledge,
    /// Something that ends a hold.
    Stop(Cause, u16),
    /// The last filesystem is thawed.
    AllThawed,
}

impl Hold {
    /// A hold that has just begun.
    pub const NEW: Self =
        Self { phase: Phase::Preparing, end: End::None, cause: Cause::None, filesystem: 0 };

    /// What the hold is after `event`, or `None` when the event changes nothing.
    #[must_use]
    pub fn after(self, event: Event) -> Option<Self> {
        let moved = |phase| Some(Self { phase, ..self });
        match (self.phase, event) {
            (Phase::Preparing, Event::Arm) => moved(Phase::Armed),
            (Phase::Armed, Event::AllFrozen) => moved(Phase::Frozen),
            (Phase::Frozen, Event::Acknowledge) => moved(Phase::Acknowledged),
            // Once the client has its answer it is supposed to go away.
            (Phase::Acknowledged, Event::Stop(Cause::ClientGone, _)) => None,
            (Phase::Acknowledged, Event::Stop(cause, filesystem)) => {
                Some(Self { phase: Phase::Ending, end: ending(cause), cause, filesystem })
            }
            (phase, Event::Stop(cause, filesystem)) if phase < Phase::Acknowledged => {
                Some(Self { phase: Phase::Ending, end: End::Failed, cause, filesystem })
            }
            (Phase::Ending, Event::AllThawed) => moved(Phase::Over),
            _ => None,
        }
    }

    /// Whether filesystems may be frozen by us now.
    #[must_use]
    pub fn may_freeze(self) -> bool {
        self.phase == Phase::Armed
    }

    /// Whether it is decided that everything has to be thawed.
    #[must_use]
    pub fn is_ending(self) -> bool {
        self.phase >= Phase::Ending
    }

    /// The hold as one word.
    #[must_use]
    pub fn encode(self) -> u64 {
        u64::from(self.phase as u8)
            | u64::from(self.end as u8) << 8
            | u64::from(self.cause as u8) << 16
            | u64::from(self.filesystem) << 32
    }

    /// The hold of a word, unless no hold has that word.
    #[must_use]
    pub fn decode(word: u64) -> Option<Self> {
        let [phase, end, cause, _, low, high, _, _] = word.to_le_bytes();
        Some(Self {
            phase: find(phase, &PHASES, |item| *item as u8)?,
            end: find(end, &ENDS, |item| *item as u8)?,
            cause: find(cause, &CAUSES, |item| *item as u8)?,
            filesystem: u16::from_le_bytes([low, high]),
        })
    }
}

/// How an acknowledged hold ends for a given cause.
fn ending(cause: Cause) -> End {
    match cause {
        Cause::PostScript => End::Released,
        Cause::Deadline => End::AutoThawed,
        _ => End::Broken,
    }
}

fn find<T: Copy>(byte: u8, all: &[T], number: fn(&T) -> u8) -> Option<T> {
    all.iter().copied().find(|item| number(item) == byte)
}

/// Every phase.
pub const PHASES: [Phase; 6] = [
    Phase::Preparing,
    Phase::Armed,
    Phase::Frozen,
    Phase::Acknowledged,
    Phase::Ending,
    Phase::Over,
];

const ENDS: [End; 5] = [End::None, End::Released, End::AutoThawed, End::Broken, End::Failed];

/// Every cause.
pub const CAUSES: [Cause; 15] = [
    Cause::None,
    Cause::PostScript,
    Cause::Deadline,
    Cause::ClientGone,
    Cause::HolderGone,
    Cause::HolderSilent,
    Cause::SentinelsGone,
    Cause::Signal,
    Cause::Operator,
    Cause::FreezeRefused,
    Cause::FreezeBusy,
    Cause::FreezeStuck,
    Cause::Budget,
    Cause::Application,
    Cause::Busy,
];
