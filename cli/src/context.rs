//! What every subcommand is handed: where its output goes, and the account it works in.

use stillpoint_aws::{Access, Cloud, Names};

use crate::{Failure, Out};

/// The surroundings of one call.
#[derive(Debug)]
pub struct Context {
    /// Where output goes, and how.
    pub out: Out,
    access: Access,
}

impl Context {
    /// Of these.
    #[must_use]
    pub fn new(out: Out, access: Access) -> Self {
        Self { out, access }
    }

    /// AWS, with the names that `infra/template.yaml` gives to everything.
    ///
    /// # Errors
    /// When it is not known which Region is meant. Whether there are credentials shows with the
    /// first call.
    pub async fn cloud(&self) -> Result<Cloud, Failure> {
        Cloud::open(Names::deployed(), &self.access).await.map_err(|text| {
            Failure::bad_input("--region", text, "a Region, by --region, AWS_REGION or the profile")
        })
    }

    /// Now, in milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
    }
}
