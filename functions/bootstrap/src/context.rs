//! What the functions are told by their environment, read once.

use stillpoint_aws::Names;

/// Which function this is, and its names.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) function: Function,
    pub(crate) names: Names,
    pub(crate) log_level: String,
}

/// The functions of this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Planner,
    Runner,
    Lifecycle,
    Restorer,
    Reaper {
        /// How long a set stays after it was marked.
        grace_ms: u64,
    },
    Guard,
}

impl Context {
    /// Reads the environment through `get`.
    ///
    /// # Errors
    /// The variable that is missing or wrong, and what it must be.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let need = |name: &str| {
            get(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("the environment variable {name} is not set"))
        };
        let function = match need("_HANDLER")?.as_str() {
            "planner" => Function::Planner,
            "runner" => Function::Runner,
            "lifecycle" => Function::Lifecycle,
            "restorer" => Function::Restorer,
            "reaper" => Function::Reaper { grace_ms: grace_ms(&need("STILLPOINT_GRACE_HOURS")?)? },
            "guard" => Function::Guard,
            other => {
                let allowed =
                    "\"planner\", \"runner\", \"guard\", \"reaper\", \"restorer\", \"lifecycle\"";
                return Err(format!("_HANDLER: found {other:?}, allowed {allowed}"));
            }
        };
        Ok(Self {
            function,
            names: Names {
                bus: need("STILLPOINT_BUS")?,
                table: need("STILLPOINT_TABLE")?,
                jobs_table: get("STILLPOINT_JOBS_TABLE")
                    .unwrap_or_else(|| Names::deployed().jobs_table),
                state: need("STILLPOINT_STATE")?,
                policy_prefix: need("STILLPOINT_POLICY_PREFIX")?,
                schedule_prefix: need("STILLPOINT_SCHEDULE_PREFIX")?,
            },
            log_level: get("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|| "info".to_owned()),
        })
    }
}

/// As much as a month, so that nobody who mistypes it keeps everything.
const GRACE_HOURS_MAX: u64 = 720;

fn grace_ms(hours: &str) -> Result<u64, String> {
    match hours.parse::<u64>() {
        Ok(hours) if hours <= GRACE_HOURS_MAX => Ok(hours * 60 * 60 * 1_000),
        _ => Err(format!(
            "STILLPOINT_GRACE_HOURS: found {hours:?}, allowed 0 to {GRACE_HOURS_MAX} (hours)"
        )),
    }
}
