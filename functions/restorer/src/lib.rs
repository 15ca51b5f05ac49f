//! The restorer: carries out restores and drills, and goes on with those whose driver died. It may
//! make and attach, and delete nothing.

mod handler;
mod metrics;

pub use handler::{Answer, handle};
