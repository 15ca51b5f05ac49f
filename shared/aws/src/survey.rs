//! What only a person's command line reads: what is deployed, which policies there are, whether a
//! document can be sent, what EC2 has not finished, and how far two clocks are apart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_ec2::types::Filter;
use aws_sdk_ssm::types::ResourceTypeForTagging;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use stillpoint_drive::outside::{Clock, Fault};

use crate::Cloud;
use crate::fault::fault;
use crate::inventory::{EC2_PAGE, FILTER_VALUES_MAX};

/// Where `infra/template.yaml` says which version it is of.
const VERSION_PARAMETER: &str = "/stillpoint/version";

impl Cloud {
    /// The version of the deployed stack, none where nothing is deployed; and how many
    /// milliseconds this machine's clock is ahead of AWS's, if the answer told a time, as one that
    /// refuses does too.
    pub async fn deployed(&self) -> (Result<Option<String>, Fault>, Option<i64>) {
        let date = ServerDate::default();
        let request = self.ssm.get_parameter().name(VERSION_PARAMETER);
        let answer = request.customize().interceptor(date.clone()).send().await.map_err(fault);
        let ahead_ms = date.ahead_ms(self.now_ms());
        let version = match answer {
            Ok(answer) => {
                let value = answer.parameter().and_then(|parameter| parameter.value());
                Ok(value.map(str::to_owned))
            }
            Err(fault) if fault.code == "ParameterNotFound" => Ok(None),
            Err(fault) => Err(fault),
        };
        (version, ahead_ms)
    }

    /// The JSON of every deployed policy, by id.
    ///
    /// # Errors
    /// Any of the pages.
    pub async fn policies(&self) -> Result<BTreeMap<String, String>, Fault> {
        let prefix = &self.names.policy_prefix;
        let request = self.ssm.get_parameters_by_path().path(prefix).with_decryption(true);
        let mut pages = request.into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for parameter in page.map_err(fault)?.parameters() {
                let name = parameter.name().unwrap_or_default();
                let id = name.strip_prefix(prefix.as_str()).unwrap_or(name);
                found.insert(id.to_owned(), parameter.value().unwrap_or_default().to_owned());
            }
        }
        Ok(found)
    }

    /// How many snapshots of each of these volumes EC2 still works on, or failed to make: those
    /// count against its quota of a volume. Volumes without any are left out.
    ///
    /// # Errors
    /// Any of the reads.
    pub async fn unfinished(&self, volume_ids: &[String]) -> Result<BTreeMap<String, u64>, Fault> {
        let mut unfinished = BTreeMap::new();
        for ids in volume_ids.chunks(FILTER_VALUES_MAX) {
            let volumes = Filter::builder().name("volume-id").set_values(Some(ids.to_vec()));
            let states = Filter::builder().name("status").values("pending").values("error");
            let request = self.ec2.describe_snapshots().owner_ids("self");
            let request = request.filters(volumes.build()).filters(states.build());
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                for volume_id in
                    page.map_err(fault)?.snapshots().iter().filter_map(|one| one.volume_id())
                {
                    *unfinished.entry(volume_id.to_owned()).or_default() += 1;
                }
            }
        }
        Ok(unfinished)
    }

    /// Whether there is a document of this name here.
    ///
    /// # Errors
    /// Any fault but that it is not there.
    pub async fn has_document(&self, name: &str) -> Result<bool, Fault> {
        match self.ssm.describe_document().name(name).send().await.map_err(fault) {
            Ok(_) => Ok(true),
            Err(fault) if fault.code.starts_with("InvalidDocument") => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The tags of a document of this account.
    ///
    /// # Errors
    /// That of the read; AWS's own documents show none.
    pub async fn document_tags(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let request = self
            .ssm
            .list_tags_for_resource()
            .resource_type(ResourceTypeForTagging::Document)
            .resource_id(name);
        let answer = request.send().await.map_err(fault)?;
        let tags =
            answer.tag_list().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
        Ok(tags.collect())
    }
}

/// The Date header of an answer.
#[derive(Clone, Debug, Default)]
struct ServerDate(Arc<Mutex<Option<String>>>);

impl ServerDate {
    fn ahead_ms(&self, now_ms: u64) -> Option<i64> {
        let text = self.0.lock().ok()?.take()?;
        let server_ms = DateTime::from_str(&text, Format::HttpDate).ok()?.to_millis().ok()?;
        Some(i64::try_from(now_ms).ok()?.saturating_sub(server_ms))
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(mut date) = self.0.lock() {
            *date = context.response().headers().get("date").map(str::to_owned);
        }
        Ok(())
    }
}
