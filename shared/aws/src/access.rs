//! Which account and Region, for a person's command line; the functions have their environment.

use aws_config::{BehaviorVersion, Region, SdkConfig};

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
