//! The agent, on real filesystems on loop devices. The numbers in test names are those
//! of the adversarial scenarios that the agent has to survive.
//!
//! Needs root; without it every test that mounts says so and does nothing.

mod bed;
mod calls;
mod deaths;
mod dry_run;
mod postgresql;
mod pure;
mod races;
mod stuck;
mod targets;
mod verdicts;
mod volumes;
mod watchdog;
