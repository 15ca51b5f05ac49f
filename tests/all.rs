//! The one test binary; a line for each room.
mod agent;
mod drive;
mod policy;
mod restore;
mod retention;
mod run;
mod sim_short;
mod tidy;
mod upkeep;
mod wire;
