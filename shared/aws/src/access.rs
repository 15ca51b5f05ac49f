//! Which account and Region: of a function, and of a person's command line.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::config::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// A function sleeps between its invocations, and does not see that a service closes a connection
/// meanwhile. A call that goes out on one is lost, and nobody knows whether it had its effect; for
/// CreateSnapshots that is a run without a set. The SDK keeps idle connections for 90 s, load
/// balancers of AWS for 60 s and services of their own for less, which none of them publishes.
const IDLE: Duration = Duration::from_secs(10);
/// As the SDK's own configuration has it.
const CONNECT: Duration = Duration::from_millis(3_100);

/// What a person said of it; what they left open comes from the environment and the shared
/// configuration, as the SDK documents it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `eu-central-1`
    pub region: Option<String>,
    /// A profile of the shared configuration.
    pub profile: Option<String>,
    /// One address for all services.
    pub endpoint_url: Option<String>,
}

impl Access {
    pub(crate) async fn config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint_url) = &self.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        loader.load().await
    }
}

/// The configuration of a function. Lambda puts all of it into the environment; the SDK's search
/// in files, profiles and metadata services would only be code that is shipped and never runs.
pub(crate) fn of_function(variable: impl Fn(&str) -> Option<String>) -> SdkConfig {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .http_client(client());
    config.set_region(variable("AWS_REGION").map(Region::new));
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    config.build()
}

fn client() -> SharedHttpClient {
    Builder::new()
        .pool_idle_timeout(IDLE)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
