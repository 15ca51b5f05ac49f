//! Reads the command line. Pure: words and settings in, a [`Call`] or a sentence about
//! what is wrong out. An option wins over the setting of the same name.

use std::time::Duration;

use crate::apps::wanted::{self, Wanted};
use crate::config::Config;

/// DLM's own default, and how long the runner's pre-script may take.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Two seconds of it are kept in reserve, one is for the freeze; less leaves no time to
/// flush.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(4);
/// SSM's default for a command is one hour.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// Long enough for CreateSnapshots and one post-script that is retried.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(60);
/// A hold that the slowest caller could still use.
pub const DEADLINE_MIN: Duration = Duration::from_secs(1);
/// Nobody's writers may be held for longer.
pub const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Quiesce and freeze.
    PreScript,
    /// Thaw and release.
    PostScript,
    /// Everything up to the first change.
    DryRun,
    /// Tell what is held.
    Status,
    /// An operator's way out.
    Thaw,
}

impl Stage {
    /// The word for it, on the command line and in a receipt.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreScript => "pre-script",
            Self::PostScript => "post-script",
            Self::DryRun => "dry-run",
            Self::Status => "status",
            Self::Thaw => "thaw",
        }
    }

    /// The stage of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::PreScript, Self::PostScript, Self::DryRun, Self::Status, Self::Thaw]
            .into_iter()
            .find(|stage| stage.name() == word)
    }
}

/// One call of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is to be done.
    pub stage: Stage,
    /// The attempt's UUID; empty for `None`, which DLM passes to a dry-run.
    pub execution_id: String,
    /// What to quiesce.
    pub wanted: Vec<Wanted>,
    /// Freeze only filesystems on these volumes; empty for all.
    pub volumes: Vec<String>,
    /// `status` as JSON.
    pub json: bool,
    /// The settings, those of the command line among them.
    pub config: Config,
}

impl Call {
    /// Whether an application is to be quiesced, by the command line or by the settings.
    #[must_use]
    pub fn wants(&self, one: Wanted) -> bool {
        self.wanted.contains(&one) || self.config.also.contains(&one)
    }
}

/// How to call it, for a person.
pub const USAGE: &str = "usage: stillpoint-agent pre-script|post-script|dry-run|status|thaw \
[--execution-id UUID] [--application NAME,...] [--deadline 60s] [--timeout 10s] \
[--volumes vol-a,vol-b] [--json]";

/// Reads the words after the program's name, for an agent with these settings.
///
/// # Errors
/// The option or word that is wrong, what was found and what is allowed.
pub fn parse(words: impl IntoIterator<Item = String>, config: Config) -> Result<Call, String> {
    let mut words = words.into_iter();
    let first = words.next().ok_or_else(|| USAGE.to_owned())?;
    let stage =
        Stage::parse(&first).ok_or_else(|| format!("unknown command {first:?}; {USAGE}"))?;
    let mut call = Call {
        stage,
        execution_id: String::new(),
        wanted: Vec::new(),
        volumes: Vec::new(),
        json: false,
        config,
    };
    while let Some(word) = words.next() {
        let (name, mut inline) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if name == "--json" && inline.is_none() {
            call.json = true;
            continue;
        }
        let mut value =
            || inline.take().or_else(|| words.next()).ok_or_else(|| format!("{name}: no value"));
        match name.as_str() {
            "--execution-id" => call.execution_id = execution_id(&value()?)?,
            "--application" => call.wanted = applications(&value()?)?,
            "--deadline" => {
                call.config.deadline = within(&name, &value()?, DEADLINE_MIN, DEADLINE_MAX)?;
            }
            "--timeout" => {
                call.config.timeout = within(&name, &value()?, TIMEOUT_MIN, TIMEOUT_MAX)?;
            }
            "--volumes" => call.volumes = volumes(&value()?)?,
            _ => return Err(format!("unknown option {name:?}; {USAGE}")),
        }
    }
    if call.execution_id.is_empty() && matches!(stage, Stage::PreScript | Stage::PostScript) {
        return Err(format!("{first} needs --execution-id with a UUID"));
    }
    Ok(call)
}

fn execution_id(value: &str) -> Result<String, String> {
    if value == "None" {
        return Ok(String::new());
    }
    let groups: Vec<&str> = value.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    let hex = value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if hex && lengths.eq([8, 4, 4, 4, 12]) {
        return Ok(value.to_ascii_lowercase());
    }
    Err(format!("--execution-id: {value:?} is not a UUID"))
}

fn applications(value: &str) -> Result<Vec<Wanted>, String> {
    value.split(',').map(wanted::parse).collect::<Result<_, _>>().map_err(|found| {
        let allowed = wanted::NAMES.join(", ");
        format!("--application: {found:?} is not one of {allowed}")
    })
}

fn within(name: &str, value: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    time(value, min, max).ok_or_else(|| format!("{name}: {value:?} is not {}", bounds(min, max)))
}

/// Reads a time such as `500ms`, `10s`, `2m`, or a number of seconds, within limits.
#[must_use]
pub fn time(text: &str, min: Duration, max: Duration) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let time = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return None,
    };
    (min..=max).contains(&time).then_some(time)
}

/// The limits of a time, in words.
#[must_use]
pub fn bounds(min: Duration, max: Duration) -> String {
    let word = |time: Duration| match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    };
    format!("between {} and {}", word(min), word(max))
}

fn volumes(value: &str) -> Result<Vec<String>, String> {
    value
        .split(',')
        .map(|id| {
            let digits = id.strip_prefix("vol-").unwrap_or_default();
            let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_alphanumeric());
            if valid { Ok(id.to_owned()) } else { Err(format!("--volumes: {id:?} is not vol-...")) }
        })
        .collect()
}
