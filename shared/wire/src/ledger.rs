//! The ledger's item: one a run, with what a query needs beside the run itself.

use serde::{Deserialize, Serialize};
use stillpoint_run::Run;

/// The version of the body.
pub const LEDGER_VERSION: u32 = 1;

/// The body of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBody {
    /// [`LEDGER_VERSION`].
    pub version: u32,
    /// The run.
    pub run: Run,
}

/// Writes a run down.
///
/// # Errors
/// None that a run can cause; the serializer's own.
pub fn write(run: &Run) -> Result<String, String> {
    serde_json::to_string(&LedgerBody { version: LEDGER_VERSION, run: run.clone() })
        .map_err(|error| format!("the run cannot be written down: {error}"))
}

/// Reads a run back.
///
/// # Errors
/// A body of another version, or one that is not a run.
pub fn read(body: &str) -> Result<Run, String> {
    let body: LedgerBody =
        serde_json::from_str(body).map_err(|error| format!("the ledger's body: {error}"))?;
    if body.version == LEDGER_VERSION {
        Ok(body.run)
    } else {
        Err(format!("the ledger's body has version {}, allowed {LEDGER_VERSION}", body.version))
    }
}
