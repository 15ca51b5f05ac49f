//! The one test binary; a line for each room.
mod agent;
mod drive;
mod policy;
mod restore;
mod retention;
mod run;
mod tidy;
mod upkeep;
mod wire;
