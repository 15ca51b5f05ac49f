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
            other => {
                return Err(format!("_HANDLER: found {other:?}, allowed \"planner\", \"runner\""));
            }
        };
        Ok(Self {
            function,
            names: Names {
                bus: need("STILLPOINT_BUS")?,
                table: need("STILLPOINT_TABLE")?,
                policy_prefix: need("STILLPOINT_POLICY_PREFIX")?,
            },
            log_level: get("AWS_LAMBDA_LOG_LEVEL").unwrap_or_else(|| "info".to_owned()),
        })
    }
}
