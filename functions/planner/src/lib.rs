//! The planner: a firing, or a request from a person, becomes a plan, and the plan one
//! requested run an instance. It changes nothing on any instance.

mod handler;
mod metrics;
mod request;

pub use handler::{Answer, Refusal, handle};
pub use request::{PolicyRef, Request};
