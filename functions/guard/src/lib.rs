//! The guard: every minute, and for each dead letter. It finishes what nobody else does
//! and tells what is missing. It begins nothing: no pre-script, no set.
//!
//! Read in this order: `handler` (what an invocation is), `overdue` (runs that nobody
//! drives), `firings` (what never became a run), `letters` (what the queues gave up).

mod firings;
mod handler;
mod letters;
mod overdue;

pub use handler::handle;
