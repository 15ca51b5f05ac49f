//! The reaper: retention, carried out by the only role that may delete anything.

mod handler;

pub use handler::{Answer, Request, handle};
