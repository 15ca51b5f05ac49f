//! The only crate that names the AWS SDK: the traits of `stillpoint_drive::outside` on
//! EC2, Systems Manager, EventBridge and DynamoDB, and what the planner reads.
//!
//! It decides nothing. What an error means for the effect is settled in one place,
//! [`fault`]; a region, an endpoint and credentials come from the environment as the
//! SDK documents it.

mod access;
mod backups;
mod budget;
mod bus;
mod components;
mod ec2;
pub mod fault;
mod follow;
mod history;
mod inventory;
mod item;
mod jobs;
mod journal;
mod ledger;
mod lifecycle;
mod machines;
mod parameters;
mod reports;
mod shelf;
mod ssm;
mod survey;
mod upkeep;
mod watch;

use std::time::Duration;

pub use access::Access;
use aws_config::SdkConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
pub use stillpoint_drive::outside;
use stillpoint_drive::outside::Clock;

/// CreateSnapshots answers within a second or two; whoever waits longer than this keeps
/// somebody's writers frozen for an answer that is likely lost.
const ONCE_TIMEOUT: Duration = Duration::from_secs(15);

/// A question that takes longer is better asked again.
const POLL_TIMEOUT: Duration = Duration::from_secs(3);

/// What the functions are told by their environment.
#[derive(Clone, Debug)]
pub struct Names {
    /// The event bus.
    pub bus: String,
    /// The ledger's table.
    pub table: String,
    /// The table of restores and drills.
    pub jobs_table: String,
    /// The table of the budget and the firings.
    pub state: String,
    /// Where policies are kept, ending in `/`.
    pub policy_prefix: String,
    /// Where deployed schedules are kept, ending in `/`.
    pub schedule_prefix: String,
}

impl Names {
    /// The names that `infra/template.yaml` gives.
    #[must_use]
    pub fn deployed() -> Self {
        Self {
            bus: "stillpoint".to_owned(),
            table: "stillpoint-runs".to_owned(),
            jobs_table: "stillpoint-jobs".to_owned(),
            state: "stillpoint-state".to_owned(),
            policy_prefix: "/stillpoint/policies/".to_owned(),
            schedule_prefix: "/stillpoint/schedules/".to_owned(),
        }
    }
}

/// AWS, for one account and Region.
#[derive(Clone, Debug)]
pub struct Cloud {
    names: Names,
    /// For clients of other Regions.
    config: SdkConfig,
    ec2: aws_sdk_ec2::Client,
    /// For calls that have no token: sent once, whatever happens.
    ec2_once: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
    /// For SendCommand, which has no token either.
    ssm_once: aws_sdk_ssm::Client,
    /// For questions that are asked again in a moment anyway: they do not back off while
    /// something is frozen.
    ssm_poll: aws_sdk_ssm::Client,
    events: aws_sdk_eventbridge::Client,
    dynamodb: aws_sdk_dynamodb::Client,
}

impl Cloud {
    /// Builds the clients once, on a cold start, from what Lambda puts into the environment.
    pub fn of_function(names: Names, variable: impl Fn(&str) -> Option<String>) -> Self {
        Self::of(names, &access::of_function(variable))
    }

    /// The same for a person's command line.
    ///
    /// # Errors
    /// `nothing` where no Region is named anywhere.
    pub async fn open(names: Names, access: &Access) -> Result<Self, &'static str> {
        let config = access.config().await;
        if config.region().is_none() { Err("nothing") } else { Ok(Self::of(names, &config)) }
    }

    fn of(names: Names, config: &SdkConfig) -> Self {
        let once = TimeoutConfig::builder().operation_timeout(ONCE_TIMEOUT).build();
        let ec2_once = aws_sdk_ec2::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(once.clone())
            .build();
        let ssm_once = aws_sdk_ssm::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(once)
            .build();
        let soon = TimeoutConfig::builder().operation_timeout(POLL_TIMEOUT).build();
        let ssm_poll = aws_sdk_ssm::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(soon)
            .build();
        Self {
            names,
            config: config.clone(),
            ec2: aws_sdk_ec2::Client::new(config),
            ec2_once: aws_sdk_ec2::Client::from_conf(ec2_once),
            ssm: aws_sdk_ssm::Client::new(config),
            ssm_once: aws_sdk_ssm::Client::from_conf(ssm_once),
            ssm_poll: aws_sdk_ssm::Client::from_conf(ssm_poll),
            events: aws_sdk_eventbridge::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
        }
    }
}

impl Cloud {
    /// EC2 of a Region for calls that have no token: sent once, whatever happens.
    fn ec2_once_in(&self, region: &str) -> aws_sdk_ec2::Client {
        let region = aws_config::Region::new(region.to_owned());
        let config = aws_sdk_ec2::config::Builder::from(&self.config)
            .region(region)
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_ec2::Client::from_conf(config)
    }

    /// EC2 of a Region; the home Region's is kept.
    fn ec2_in(&self, region: &str) -> aws_sdk_ec2::Client {
        if self.config.region().is_some_and(|home| home.as_ref() == region) {
            return self.ec2.clone();
        }
        let region = aws_config::Region::new(region.to_owned());
        let config = aws_sdk_ec2::config::Builder::from(&self.config).region(region).build();
        aws_sdk_ec2::Client::from_conf(config)
    }
}

impl Clock for Cloud {
    fn now_ms(&self) -> u64 {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_epoch.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
