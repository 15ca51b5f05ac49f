//! For default policies: since when each instance has a snapshot of every volume of it, by
//! whatever means. Nothing is decided here.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Filter;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use stillpoint_drive::outside::{Clock, Fault};
use stillpoint_policy::Instance;

use crate::Cloud;
use crate::fault::{fault, unbuildable};

/// EC2 takes 200 values in one filter.
const FILTER_VALUES_MAX: usize = 200;
const EC2_PAGE: i32 = 500;
/// DLM's default policies make a set once in seven days at least; what is older is not recent.
const DAYS: i64 = 8;
const DAY_SECS: i64 = 24 * 60 * 60;

impl Cloud {
    /// Fills in `backed_up_ms` of each instance.
    pub(crate) async fn see_backups(&self, instances: &mut [Instance]) -> Result<(), Fault> {
        let volumes = instances.iter().flat_map(|instance| &instance.volumes);
        let volume_ids: Vec<String> = volumes.map(|volume| volume.volume_id.clone()).collect();
        let newest = self.newest_snapshots(&volume_ids).await?;
        for instance in instances {
            let times = instance.volumes.iter().map(|volume| newest.get(&volume.volume_id));
            // The oldest of them; nothing as soon as one volume has none.
            instance.backed_up_ms = times
                .collect::<Option<Vec<_>>>()
                .and_then(|times| times.into_iter().min().copied());
        }
        Ok(())
    }

    /// When the newest snapshot of each volume was begun, in ms since the epoch. Snapshots that
    /// failed are none.
    async fn newest_snapshots(
        &self,
        volume_ids: &[String],
    ) -> Result<BTreeMap<String, u64>, Fault> {
        let days = self.days()?;
        let mut newest = BTreeMap::new();
        for ids in volume_ids.chunks(FILTER_VALUES_MAX) {
            let filter = |name: &str, values: Vec<String>| {
                Filter::builder().name(name).set_values(Some(values)).build()
            };
            let request = self
                .ec2
                .describe_snapshots()
                .owner_ids("self")
                .filters(filter("volume-id", ids.to_vec()))
                .filters(filter("status", vec!["pending".into(), "completed".into()]))
                .filters(filter("start-time", days.clone()));
            let mut pages = request.into_paginator().page_size(EC2_PAGE).send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(fault)?;
                for snapshot in page.snapshots() {
                    let began = snapshot.start_time().and_then(|time| time.to_millis().ok());
                    let began = began.and_then(|ms| u64::try_from(ms).ok());
                    if let (Some(id), Some(began)) = (snapshot.volume_id(), began) {
                        let entry = newest.entry(id.to_owned()).or_insert(began);
                        *entry = began.max(*entry);
                    }
                }
            }
        }
        Ok(newest)
    }

    /// The last days as the filter `start-time` takes them, which knows wildcards and no ranges.
    fn days(&self) -> Result<Vec<String>, Fault> {
        let now_secs = i64::try_from(self.now_ms() / 1_000).unwrap_or(0);
        let day = |ago: i64| {
            let time = DateTime::from_secs(now_secs - ago * DAY_SECS);
            let text = time.fmt(Format::DateTime).map_err(unbuildable)?;
            Ok(format!("{}*", text.split('T').next().unwrap_or_default()))
        };
        (0..=DAYS).map(day).collect()
    }
}
