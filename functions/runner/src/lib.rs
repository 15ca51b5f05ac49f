//! The runner: a batch of requested runs from the queue, each driven to its outcome.

mod handler;
pub mod messages;
mod metrics;

pub use handler::handle;
pub use metrics::finished as metrics_of;
