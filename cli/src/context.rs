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

    /// The same account for the AWS CLI, as its options.
    pub(crate) fn aws_options(&self) -> Vec<&str> {
        let Access { region, profile, endpoint_url } = &self.access;
        [("--region", region), ("--profile", profile), ("--endpoint-url", endpoint_url)]
            .into_iter()
            .filter_map(|(name, value)| value.as_deref().map(|value| [name, value]))
            .flatten()
            .collect()
    }

    /// An id for what is asked for now: unlike any other, and told from a Lambda's at a glance.
    pub(crate) fn request_id(&self) -> String {
        format!("cli-{:x}-{:x}", self.now_ms(), std::process::id())
    }

    /// Now, in milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
    }
}
