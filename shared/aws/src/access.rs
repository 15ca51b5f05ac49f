//! Which account and Region, for a person's command line; the functions have their environment.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

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
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
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

/// A function sleeps between its invocations, and does not see that a service closes a connection
/// meanwhile. A call that goes out on one is lost, and nobody knows whether it had its effect; for
/// CreateSnapshots that is a run without a set. The SDK keeps idle connections for 90 s, load
/// balancers of AWS for 60 s and services of their own for less, which none of them publishes.
const IDLE: Duration = Duration::from_secs(10);

/// The configuration of a function: what its environment says.
pub(crate) async fn of_function() -> SdkConfig {
    let client = Builder::new()
        .pool_idle_timeout(IDLE)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(client).load().await
}
