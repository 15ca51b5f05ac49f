//! The loop around a run: load it, ask what it owes, record, do that, tell the run
//! what came of it, until nothing is owed.
//!
//! It decides nothing about the run (that is `stillpoint_run`) and knows no AWS (that
//! is `stillpoint_aws`, behind the traits of [`outside`]). Called by the runner.

mod advance;
mod batch;
pub mod budget;
mod command;
pub mod outside;
mod perform;
mod surroundings;
mod vss;

pub use advance::{Advance, DUE_AFTER_MS, DriveError, Limits, Task, advance};
pub use batch::Batch;
