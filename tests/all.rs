//! The one test binary; a line for each room, and for what they share.
mod agent;
mod budget;
mod drive;
mod policy;
mod restore;
mod retention;
mod run;
mod sim_short;
mod tidy;
mod trouble;
mod upkeep;
mod wire;
