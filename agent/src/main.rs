//! `stillpoint-agent`: freezes, holds and thaws the filesystems of one instance.
//!
//! Prints one receipt on standard output, logs on standard error, and ends with the
//! number that the receipt carries (`exit`).

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use stillpoint_agent::cli::{self, Call, Stage};
use stillpoint_agent::config::Config;
use stillpoint_agent::{client, config, exit, failpoint, log, post, receipt, status, sys};
use stillpoint_wire::receipt::{HoldState, Receipt};

#[global_allocator]
static HEAP: sys::Heap = sys::Heap::new();

fn main() -> ExitCode {
    // A descriptor that was left open by whoever started us would be kept by the holder.
    sys::close_from(3);
    failpoint::load();
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    // Writers wait for this: the holder is asked before anything else is looked at.
    let asked = cli::parse(words.iter().cloned(), Config::default());
    let bell = asked.ok().and_then(|call| post::ring(&call));
    let config = config::load(Path::new(config::FILE));
    let settings = config.as_ref().cloned().unwrap_or_default();
    let (receipt, human) = match cli::parse(words.iter().cloned(), settings) {
        Ok(call) => {
            let human = call.stage == Stage::Status && !call.json;
            (settled(&call, bell, config.err()), human)
        }
        Err(why) => {
            log::line(&why);
            (misused(words.first().and_then(|word| Stage::parse(word)), &why), false)
        }
    };
    if !receipt.reason.is_empty() {
        log::line(&receipt.reason);
    }
    let code = ExitCode::from(receipt.code);
    let mut text = if human { status::human(&receipt) } else { receipt::line(receipt) };
    text.push('\n');
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        log::line("the receipt could not be written: standard output is closed");
    }
    code
}

/// A hold is not begun with settings that nobody meant; one that is in place has to end
/// whatever became of the settings since.
fn settled(call: &Call, bell: Option<UnixStream>, wrong: Option<String>) -> Receipt {
    match wrong {
        Some(why) if matches!(call.stage, Stage::PreScript | Stage::DryRun) => {
            let (code, state) = (exit::NOT_READY, HoldState::Refused);
            receipt::plain(call.stage, &call.execution_id, code, state, &why)
        }
        wrong => {
            if let Some(why) = wrong {
                log::line(&format!("{why}; going on with the defaults"));
            }
            perform(call, bell)
        }
    }
}

fn perform(call: &Call, bell: Option<UnixStream>) -> Receipt {
    if sys::effective_uid() != 0 && call.stage != Stage::Status {
        return misused(Some(call.stage), "root is needed to freeze and thaw");
    }
    match call.stage {
        Stage::PreScript => client::pre_script(call),
        Stage::PostScript => post::post_script(call, bell),
        Stage::DryRun => status::dry_run(call),
        Stage::Status => status::status(call),
        Stage::Thaw => post::thaw(call),
    }
}

/// Nothing was touched; a post-script that cannot be understood has failed.
fn misused(stage: Option<Stage>, why: &str) -> Receipt {
    let stage = stage.unwrap_or(Stage::Status);
    let (code, state) = match stage {
        Stage::PostScript | Stage::Thaw => (exit::POST_FAILED, HoldState::Failed),
        _ => (exit::NOT_READY, HoldState::Refused),
    };
    receipt::plain(stage, "", code, state, why)
}
