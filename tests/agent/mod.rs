//! The agent, on real filesystems on loop devices. The numbers in test names are those
//! of the adversarial scenarios that the agent has to survive.
//!
//! Needs root; without it every test that mounts says so and does nothing.

mod bed;
mod calls;
mod deaths;
mod defects;
mod dry_run;
mod etc;
mod flush;
mod flushed;
mod heap;
mod hooks;
mod leftovers;
mod mariadb;
mod postgresql;
mod pure;
mod races;
mod redis;
mod resources;
mod settings;
mod slow;
mod stacks;
mod standins;
mod stuck;
mod surroundings;
mod systemd;
mod targets;
mod trace;
mod verdicts;
mod volumes;
mod watchdog;
mod xen;
