//! The prices and guesses that an estimate stands on, each with where it is from, and each to be
//! replaced by whoever knows better.

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::reader::At;
use crate::report::{FieldError, Report};

macro_rules! assumptions {
    ($($(#[$doc:meta])* $field:ident, $name:literal, $default:literal;)*) => {
        /// Prices are AWS's public on-demand prices for us-east-1 in US dollars, without free
        /// tiers, as its pricing pages showed them in 2025; other Regions differ by up to a half.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        pub struct Assumptions {
            $($(#[$doc])* #[serde(rename = $name)] pub $field: f64,)*
        }

        impl Default for Assumptions {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Assumptions {
            const NAMES: &[&str] = &[$($name),*];

            fn set(&mut self, name: &str, value: f64) {
                match name {
                    $($name => self.$field = value,)*
                    _ => {}
                }
            }
        }
    };
}

assumptions! {
    /// A GB of snapshot data in the standard tier for a month. Source: Amazon EBS pricing,
    /// "EBS Snapshots, Standard".
    snapshot_gb_month, "snapshotGbMonth", 0.05;
    /// One snapshot with fast restore in one zone for an hour. Source: Amazon EBS pricing,
    /// "Fast Snapshot Restore", DSU hour.
    fast_restore_hour, "fastRestoreHour", 0.75;
    /// A GB copied to another Region. Source: Amazon EC2 pricing, data transfer between Regions.
    transfer_gb, "transferGb", 0.02;
    /// A million events on a bus. Source: Amazon EventBridge pricing, custom events.
    million_events, "millionEvents", 1.0;
    /// A million firings. Source: Amazon EventBridge pricing, Scheduler.
    million_firings, "millionFirings", 1.0;
    /// A million requests to a queue. Source: Amazon SQS pricing, standard queues.
    million_queue_requests, "millionQueueRequests", 0.4;
    /// A million invocations. Source: AWS Lambda pricing, requests.
    million_invocations, "millionInvocations", 0.2;
    /// A GB-second. Source: AWS Lambda pricing, arm64, first tier.
    lambda_gb_second, "lambdaGbSecond", 0.000_013_333_4;
    /// A million write requests of 1 KB. Source: Amazon DynamoDB pricing, on-demand.
    million_ledger_writes, "millionLedgerWrites", 0.625;
    /// One custom metric for a month. Source: Amazon CloudWatch pricing, first 10,000 metrics.
    metric_month, "metricMonth", 0.3;
    /// How much of a volume was ever written. The whole of it, so that the estimate is not below
    /// the bill: EC2 does not tell.
    used_fraction, "usedFraction", 1.0;
    /// How much of that changes in a day. A rule of thumb for servers (2 to 5 % a day), no
    /// measurement of these volumes.
    daily_change, "dailyChange", 0.03;
    /// From SendCommand to the end of one stage that has little to do. A guess for an instance
    /// whose agent is online; no measurement in an account of AWS's.
    command_secs, "commandSecs", 3.0;
    /// From CreateSnapshots to its answer. A guess as well.
    create_secs, "createSecs", 1.5;
    /// CreateSnapshots that an account and Region may send at once. Source: Amazon EC2 API
    /// throttling, bucket size.
    create_burst, "createBurst", 100.0;
    /// And then in each second. Source: Amazon EC2 API throttling, refill rate.
    create_per_sec, "createPerSec", 5.0;
    /// Runs that one invocation of the runner drives at once. Source: the queue's batch in
    /// infra/template.yaml.
    runs_per_invocation, "runsPerInvocation", 10.0;
    /// Memory of the functions in GB. Source: MemorySize in infra/template.yaml.
    function_gb, "functionGb", 0.25;
    /// Writes of one run to the ledger, in units of 1 KB: about eight steps, each an item of
    /// about 4 KB.
    ledger_writes_per_run, "ledgerWritesPerRun", 32.0;
    /// Metrics of one policy. Source: docs of the metrics; those of the policy's dimension.
    metrics_per_policy, "metricsPerPolicy", 15.0;
}

impl Assumptions {
    /// The defaults with what a JSON object of `{"name": number}` changes of them.
    pub fn read(json: &str) -> Result<Assumptions, Vec<FieldError>> {
        let mut report = Report::default();
        let mut assumptions = Assumptions::default();
        match serde_json::from_str::<Json>(json) {
            Err(error) => {
                let found = format!("text that is not JSON ({error})");
                report.add("assumptions", found, "a JSON object");
            }
            Ok(document) => {
                let root = At { json: &document, path: "assumptions".into() };
                let Some(object) = root.object(&mut report, Self::NAMES) else {
                    return Err(report.into_errors());
                };
                for field in object.each() {
                    let name = field.path.rsplit('.').next().unwrap_or_default().to_owned();
                    match number(field.json) {
                        Some(value) => assumptions.set(&name, value),
                        None if Self::NAMES.contains(&name.as_str()) => {
                            field.refuse(&mut report, "a number from 0 to 1000000000");
                        }
                        None => {}
                    }
                }
            }
        }
        if report.is_empty() { Ok(assumptions) } else { Err(report.into_errors()) }
    }
}

fn number(json: &Json) -> Option<f64> {
    let value: f64 = match json {
        Json::Whole(value) => value.to_string().parse().ok()?,
        Json::OtherNumber(text) => text.parse().ok()?,
        _ => return None,
    };
    (0.0..=1e9).contains(&value).then_some(value)
}
