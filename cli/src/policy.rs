//! `stillpoint policy …`: policies as files.

mod check;
mod import;

use clap::Subcommand;

use crate::{Context, Exit, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Reads a policy and names everything that is wrong with it, without AWS.
    Check(check::Check),
    /// Takes a policy over from Amazon Data Lifecycle Manager.
    Import(import::Import),
}

pub(crate) fn go(policy: Policy, context: &Context) -> Result<Exit, Failure> {
    match policy {
        Policy::Check(check) => check::go(&check, context),
        Policy::Import(import) => import::go(&import, context),
    }
}

/// Reads a file that the operator names; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_file(path: &str) -> Result<String, Failure> {
    let read = if path == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Failure::bad_input(path, error, "a file with a policy as JSON text"))
}
