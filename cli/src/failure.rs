//! How a subcommand ends: its exit code, and the words for whoever has to mend it.

use std::fmt::Display;
use std::process::ExitCode;

use stillpoint_aws::outside::Fault;
use stillpoint_planner::Refusal;
use stillpoint_telemetry::RefusalCode;

/// The exit code of a command that said what it had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Done,
    /// 1: it was carried out, and something failed.
    Failed,
    /// 2: the input cannot be used; nothing was touched.
    BadInput,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::BadInput => 2,
        })
    }
}

/// Why a command could not do what it is for; a line for each thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The outside did not do its part.
    Failed(Vec<String>),
    /// The input cannot be used. Nothing was touched.
    BadInput(Vec<String>),
}

impl Failure {
    /// One thing that failed.
    pub fn failed(what: impl Display) -> Self {
        Self::Failed(vec![what.to_string()])
    }

    /// One thing that is wrong with the input: which, what was found, what is allowed.
    pub fn bad_input(field: &str, found: impl Display, allowed: &str) -> Self {
        Self::BadInput(vec![format!("{field}: found {found}, allowed {allowed}")])
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) => Exit::Failed,
            Self::BadInput(_) => Exit::BadInput,
        }
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Failed(lines) | Self::BadInput(lines) => lines,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::failed(no_credentials(&fault.text).unwrap_or(&fault.to_string()))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code.as_str();
        if let Some(text) = no_credentials(&refusal.text) {
            return Self::failed(text);
        }
        let lines = refusal.text.lines().map(|line| format!("{code}: {line}")).collect();
        match refusal.code {
            RefusalCode::Request | RefusalCode::NoPolicy | RefusalCode::Policy => {
                Self::BadInput(lines)
            }
            _ => Self::Failed(lines),
        }
    }
}

/// The SDK's own words name no way out.
fn no_credentials(text: &str) -> Option<&'static str> {
    let of_the_sdk = ["loading credentials", "no credentials found"];
    of_the_sdk.iter().any(|words| text.contains(words)).then_some(
        "no AWS credentials: set AWS_PROFILE or --profile, or for single sign-on \
         eval \"$(aws configure export-credentials --format env)\"",
    )
}
