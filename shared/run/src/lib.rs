//! One run of one instance, as a pure state machine: no clock, no async, no SDK, no
//! environment. Whoever drives it (`stillpoint_drive`) brings time, ids and answers.
//!
//! ```text
//!            AttemptStarted               PreEnded ok            SetCreated / CreateFailed
//!   New ───────────────────▶ PreScript ───────────────▶ Snapshot ─────────────┐
//!    │ no script, skipped        │ PreEnded failed                             ▼
//!    │                           └──────────────────────────────────────▶ PostScript ─┐ retried alone
//!    │                                                                     │   ▲──────┘
//!    │              ┌── attempts left: AttemptStarted (new execution id) ◀─┤
//!    ▼              │                                                      │ PostEnded
//!   Fallback ◀──────┴── pre-script never held, fallback allowed ◀──────────┤
//!    │ SetCreated                                                          │ reply lost, interrupted
//!    └────────────────────────▶ Report ◀── set known, or none ◀── Settle ◀─┘
//!                                 │ Reported
//!                                 ▼
//!                                Done
//! ```
//!
//! A VSS document makes the set itself, with the role of the instance:
//!
//! ```text
//!            AttemptStarted     CommandSent              VssEnded            SetAdopted
//!   New ───────────────▶ Vss ─────────────▶ Vss (watched) ─────────▶ Settle ───────────▶ Report
//!    ▲                    │ SendUncertain      ▲ found by its comment  │ no set: next attempt,
//!    └─ attempts left     └────────────────────┘                       ▼ fallback, or the end
//! ```
//!
//! Read in this order: [`Order`] (what is asked), [`Run`] (what is remembered),
//! [`decide`] (all branching), [`apply`] (the only mutation), [`owed`] (what the
//! outside has to do next), [`judge`] (the truth table).

mod apply;
mod cause;
mod decide;
mod order;
mod owed;
mod run;
mod seen;
mod verdict;
mod vss;

pub use apply::apply;
pub use cause::{Cause, Code};
pub use decide::decide;
pub use order::{Handler, LeftOutVolume, Order, Script, Volume};
pub use owed::{DELIVERY_SECS, Owed, Stage, begins, not_before_ms, owed, record_first};
pub use run::{
    CreateCall, Phase, Run, Sent, SnapshotSet, SnapshotTaken, StageReport, StageResult, VssRun,
};
pub use seen::{CommandEnd, Fact, Proof, ProofState, Seen};
pub use verdict::{Consistency, Outcome, SnapshotVerdict, Verdict, judge};
