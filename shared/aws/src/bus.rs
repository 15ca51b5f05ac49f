//! The event bus.

use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures::stream::{self, StreamExt, TryStreamExt};
use stillpoint_drive::outside::{Bus, Fault, FaultKind};
use stillpoint_wire::event::SOURCE;

use crate::Cloud;
use crate::fault::fault;

/// PutEvents takes ten entries.
const ENTRIES_MAX: usize = 10;
/// So many calls at a time: a fleet of thousands is requested in seconds, and the least that a
/// Region grants is 400 a second.
const AT_ONCE: usize = 8;
/// Entries that the bus did not take are put again this often, doubling from
/// [`WAIT`].
const REPEATS_MAX: u32 = 4;
const WAIT: Duration = Duration::from_millis(200);

impl Bus for Cloud {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        let mut left = details;
        for repeat in 0..=REPEATS_MAX {
            let puts: Vec<_> =
                left.chunks(ENTRIES_MAX).map(|details| self.put(detail_type, details)).collect();
            let refused: Vec<Vec<String>> =
                stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await?;
            let refused = refused.concat();
            if refused.is_empty() {
                return Ok(());
            }
            left = refused;
            tokio::time::sleep(WAIT * 2_u32.pow(repeat)).await;
        }
        Err(not_taken(left.len()))
    }
}

impl Cloud {
    /// Puts up to ten events and returns those that the bus did not take: a refused
    /// entry comes with HTTP 200.
    async fn put(&self, detail_type: &str, details: &[String]) -> Result<Vec<String>, Fault> {
        let entries = details.iter().map(|detail| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&self.names.bus)
                .source(SOURCE)
                .detail_type(detail_type)
                .detail(detail)
                .build()
        });
        let request = self.events.put_events().set_entries(Some(entries.collect()));
        let answer = request.send().await.map_err(fault)?;
        let results = answer.entries().iter().zip(details);
        Ok(results
            .filter(|(entry, _)| entry.error_code().is_some())
            .map(|(_, detail)| detail.clone())
            .collect())
    }
}

fn not_taken(count: usize) -> Fault {
    Fault {
        kind: FaultKind::Retry,
        code: "EventsNotTaken".to_owned(),
        text: format!("the bus did not take {count} event(s)"),
    }
}
