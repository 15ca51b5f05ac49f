//! The reaper over an account that is simulated: what it deletes, that it goes on where another
//! one died, sets of DLM's that are taken over, and what follows when a set is complete.

mod adopting;
mod following;
mod kills;
mod reaping;
mod shelf;
