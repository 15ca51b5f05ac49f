//! The instances of a shard, their policy, and what goes wrong on an ordinary night.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use stillpoint_drive::outside::{Deployed, Firing};

use super::FIRES_MS;
use crate::BEGINNING_MS;
use crate::host::Host;
use crate::trouble::Trouble;
use crate::world::World;

pub(super) const POLICY: &str = "policy-1";
pub(super) const SCHEDULE: &str = "Nightly";
pub(super) const DOCUMENT: &str = "Stillpoint-Filesystem";
/// `ExecutionTimeout` and `MaximumRetryCount` of the policy.
pub(super) const TIMEOUT_SECS: u32 = 30;
pub(super) const RETRIES: u32 = 2;

/// In 10,000: each is small, and in a fleet of thousands each happens.
pub(super) fn trouble() -> Trouble {
    Trouble {
        lost_reply: 2,
        duplicate: 20,
        undelivered: 10,
        script: 50,
        broken_hold: 20,
        offline: 30,
        skew_ms: 200,
        ..Trouble::default()
    }
}

/// Populates a world and returns the firing that all of it is for.
pub(super) fn people(world: &Arc<World>, instances: u64) -> Firing {
    let mut state = world.state();
    let offline = state.trouble.offline;
    for number in 1..=instances {
        let id = format!("i-{number:017x}");
        let volumes = state.rng.between(1, 4);
        let offline = if state.rng.chance(offline) {
            let from = BEGINNING_MS + state.rng.below(2 * FIRES_MS);
            (from, from + state.rng.below(60 * FIRES_MS))
        } else {
            (0, 0)
        };
        let host = Host {
            id: id.clone(),
            policy_tags: BTreeMap::from([("backup".to_owned(), "yes".to_owned())]),
            volumes: (1..=volumes).map(|one| format!("vol-{number:08x}{one:09x}")).collect(),
            boot: number,
            offline,
            terminated: false,
            managed: true,
            holds: BTreeMap::new(),
            past: BTreeMap::new(),
        };
        state.hosts.insert(id, host);
    }
    state.policies.insert(POLICY.to_owned(), policy_json());
    state.deployed.push(Deployed {
        policy_id: POLICY.to_owned(),
        schedule_name: SCHEDULE.to_owned(),
        expression: "cron(1 8 * * ? 2027)".to_owned(),
        time_zone: "UTC".to_owned(),
        since_ms: BEGINNING_MS,
    });
    Firing {
        policy_id: POLICY.to_owned(),
        schedule_name: SCHEDULE.to_owned(),
        nominal_time: "2027-01-15T08:01:00Z".to_owned(),
    }
}

fn policy_json() -> String {
    json!({
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT",
        "ResourceTypes": ["INSTANCE"],
        "TargetTags": [{ "Key": "backup", "Value": "yes" }],
        "Parameters": { "ExcludeBootVolume": true },
        "Schedules": [{
            "Name": SCHEDULE,
            "CreateRule": {
                "CronExpression": "cron(1 8 * * ? 2027)",
                "Scripts": [{
                    "ExecutionHandlerService": "AWS_SYSTEMS_MANAGER",
                    "ExecutionHandler": DOCUMENT,
                    "Stages": ["PRE", "POST"],
                    "ExecutionTimeout": TIMEOUT_SECS,
                    "MaximumRetryCount": RETRIES,
                    "ExecuteOperationOnScriptFailure": true,
                }],
            },
            "RetainRule": { "Count": 7 },
        }],
    })
    .to_string()
}
