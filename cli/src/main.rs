//! The binary `stillpoint`; everything is in the library.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    stillpoint_cli::run(stillpoint_cli::Cli::parse()).await
}
