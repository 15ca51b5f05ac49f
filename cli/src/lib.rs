//! The operator's command line, `stillpoint`: what a policy means, what a firing would do, a
//! run on demand, and what became of every run.
//!
//! One file a subcommand. Each has a struct of its arguments and a function that takes it with a
//! [`Context`] (where output goes, which account) and answers with an [`Exit`] or a [`Failure`].
//! To add one: a file, a variant of [`Command`], a line in [`dispatch`].
//!
//! It decides nothing about runs: plans come from the planner's own code, stories from the
//! ledger.

mod codes;
mod context;
mod doctor;
mod failure;
mod out;
mod plan;
mod policy;
mod progress;
mod restore;
mod retain;
mod run;
mod runs;
mod show;
mod table;
mod timeline;
mod words;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use context::Context;
pub use failure::{Exit, Failure};
pub use out::{Out, Paint};
pub use show::render as story;
pub use table::Table;

/// Application-consistent EBS snapshots: plan, run, and read what happened.
#[derive(Debug, Parser)]
#[command(name = "stillpoint", version, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 something failed, 2 the input cannot be used.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
struct Global {
    /// Print JSON for other programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// AWS Region; else AWS_REGION or the profile's.
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Profile of the shared AWS configuration; else AWS_PROFILE.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Where AWS's API is; else AWS_ENDPOINT_URL or AWS itself.
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is right and wrong with a policy, without AWS.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// What a firing of a policy would do: who, which volumes, what is left out and why.
    Plan(plan::Plan),
    /// Fires a policy now, for all of its targets or some.
    Run(run::Run),
    /// The runs of the last days, newest first.
    Runs(runs::Runs),
    /// The whole story of one run: when, why, what to do, and what its snapshots are worth.
    Show(show::Show),
    /// What would spoil the next run: versions, grants, targets, agents, volumes, the clock.
    Doctor(doctor::Doctor),
    /// What retention keeps and what it deletes, each set with its reason; and does it.
    Retain(retain::Retain),
    /// A set becomes volumes, the volumes of an instance, or a new instance.
    Restore(restore::Restore),
    /// A set is restored onto a drill host and verified there, and cleared away again.
    Drill(restore::Drill),
}

/// Runs one command line to its exit code.
pub async fn run(cli: Cli) -> ExitCode {
    let out = Out::of_the_terminal(cli.global.json);
    let access = stillpoint_aws::Access {
        region: cli.global.region,
        profile: cli.global.profile,
        endpoint_url: cli.global.endpoint_url,
    };
    let context = Context::new(out, access);
    match dispatch(cli.command, &context).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            context.out.failure(&failure);
            failure.exit().into()
        }
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Policy(policy) => policy::go(policy, context),
        Command::Plan(plan) => plan::go(plan, context).await,
        Command::Run(run) => run::go(run, context).await,
        Command::Runs(runs) => runs::go(runs, context).await,
        Command::Show(show) => show::go(show, context).await,
        Command::Doctor(doctor) => doctor::go(doctor, context).await,
        Command::Restore(args) => restore::restore(args, context).await,
        Command::Drill(args) => restore::drill(args, context).await,
        Command::Retain(retain) => retain::go(retain, context).await,
    }
}
