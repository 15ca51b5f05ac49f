//! Logs as JSON lines, metrics as CloudWatch's embedded metric format, and the stable
//! codes of what can go wrong before there is a run.

mod code;
mod emf;
mod log;

pub use code::RefusalCode;
pub use emf::{NAMESPACE, Unit, emf, emf_total};
pub use log::init;
