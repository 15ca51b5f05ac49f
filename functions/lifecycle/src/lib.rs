//! The lifecycle: what follows when a set is complete. An event only says that it is worth a look.

mod handler;

pub use handler::handle;
