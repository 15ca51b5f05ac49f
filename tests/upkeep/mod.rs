//! The reaper over an account that is simulated: what it deletes, that it goes on where another
//! one died, and sets of DLM's that are taken over.

mod adopting;
mod reaping;
mod shelf;
