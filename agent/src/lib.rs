//! The on-instance binary that freezes, holds and thaws, as a library with a thin
//! `main`.
//!
//! ```text
//!   client (pre-script) ──fork──▶ holder ──fork──▶ sentinel, sentinel
//!        ▲    acknowledges          │ one page of memory on tmpfs │
//!        └──────────────────────────┴─────────────────────────────┘
//!   post-script, thaw ──control socket──▶ holder
//! ```
//!
//! Read in this order: `hold` (the state machine), `page` (how processes share it),
//! `plan` (what is frozen), `client`, `holder`, `sentinel`, `post`, `receipt`.
//! There is no async runtime and no network: the agent's only peers are the kernel, its
//! own processes and local databases.

pub mod apps;
pub mod backlog;
pub mod beneath;
pub mod child;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod crew;
pub mod dirty;
pub mod exit;
pub mod failpoint;
pub mod flush;
pub mod forecast;
pub mod hold;
pub mod holder;
pub mod log;
pub mod mountinfo;
pub mod mounts;
pub mod pace;
pub mod page;
pub mod pagecache;
pub mod plan;
pub mod post;
mod process;
pub mod pump;
pub mod rcu;
pub mod receipt;
pub mod record;
pub mod recover;
pub mod sentinel;
pub mod state;
pub mod status;
pub mod sys;
pub mod systemd;
pub mod targets;
pub mod thaw;
pub mod unfreezable;
pub mod volumes;
pub mod walk;
