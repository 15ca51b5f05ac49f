//! A restore or a drill, as a pure step machine.
//!
//! An [`Order`] says what a set becomes: volumes, the volumes of an instance, a new instance, or a
//! drill. A [`Job`] is an order on its way. [`next`] looks at the job and at what EC2 shows of it
//! and says what is to be done, or what has become true; [`apply`] writes that down.
//!
//! ```text
//! volumes       create ▶ keep ──────────────────────────────────────────────▶ report
//! instance      create ▶ stop ▶ detach ▶ attach ▶ start ▶ keep ─────────────▶ report
//! new instance  launch ▶ create ▶ stop ▶ detach ▶ attach ▶ start ▶ keep ────▶ report
//! drill         create ▶ attach ▶ verify ▶ release ▶ discard ───────────────▶ report
//! what fails    … ▶ (take out ▶ put back ▶ start again) ▶ discard ──────────▶ report
//! what is still refused then ────────────────────────────────────────────────▶ settle
//! ```
//!
//! Nothing is deleted here: the old volumes of an instance stay, with tags that lead back to them,
//! and what is of no use to anybody is marked, for the one role that may delete. What a job makes
//! has that mark from the beginning, so that it goes even if nobody ever comes back to the job; the
//! mark is off before a restore is told to be good. Every act can be repeated, but a drill's command,
//! which is searched for before it is sent again; and every step looks before it acts. So a driver
//! may die anywhere.
//!
//! No clock, no environment, no IO.

mod apply;
mod choose;
mod code;
mod end;
mod job;
mod next;
mod order;
mod plan;
mod told;
mod world;

pub use apply::apply;
pub use choose::{Chosen, Selector, SetSeen, SnapshotSeen, choose};
pub use code::{RefusalCode, Refused};
pub use job::{Act, Fact, Job, Next, Phase, Verdict};
pub use next::{next, refused};
pub use order::{Goal, Item, Launch, Order, Source, VolumeOptions};
pub use plan::{PlanError, Target, Wanted, plan, undo};
pub use world::{CommandSeen, InstanceSeen, VolumeSeen, World};
