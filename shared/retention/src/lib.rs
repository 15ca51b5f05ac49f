//! Retention: an inventory and the rules in, what goes and what stays out, each with its reason.
//!
//! [`plan()`] decides about whole snapshot sets. In a *queue*, the sets of one schedule for one
//! instance, it goes from the newest to the oldest and counts as DLM does, with what DLM lacks:
//! only good sets count, a floor of good sets stays whatever the rule says, the last good set of
//! each volume stays, and nothing goes while no new good sets come (promise I5).
//!
//! A set goes in two phases: it is marked with the time of its deletion, and deleted after that
//! time if it is still superfluous; a mark that has lost its reason is taken off.
//!
//! Pure: no clock, no environment, no IO. Times are milliseconds since the epoch.

mod decision;
mod inventory;
mod plan;
mod queue;
mod reason;
mod rules;
mod set;

pub use decision::{Action, Decision, Plan};
pub use inventory::{Inventory, Kind, Owned, Snapshot, State, Tier};
pub use plan::plan;
pub use reason::{Flaw, Reason};
pub use rules::{Keep, Policy, Schedule, Settings};
