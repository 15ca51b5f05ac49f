//! The planner: a firing, or a request from a person, becomes a plan, and the plan one
//! requested run an instance. It changes nothing on any instance.

mod answer;
mod handler;
mod metrics;
mod request;

pub use answer::Answer;
pub use handler::{Refusal, handle};
pub use request::{PolicyRef, Request};
