//! Every serialized shape of Stillpoint, versioned: the agent's receipt, the events
//! on the bus, the ledger's item, the tag keys, the identifiers.
//!
//! The rule for a change: a new reader takes old data, an old reader ignores new
//! fields, and an old writer never drops a field that a new reader needs, since a
//! changed meaning gets a new version. The wire knows no AWS and does no I/O.

pub mod event;
pub mod ids;
pub mod job_event;
pub mod ledger;
pub mod notification;
pub mod queue;
pub mod receipt;
pub mod tags;
pub mod time;
pub mod vss;
