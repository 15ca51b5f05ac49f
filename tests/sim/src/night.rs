//! One night: made of a seed, lived, judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use stillpoint_drive::outside::{Deployed, Firing};

use crate::exec::Exec;
use crate::host::Host;
use crate::rng::Rng;
use crate::trouble::Trouble;
use crate::world::World;
use crate::{BEGINNING_MS, WINDOW_MS};

/// The last delivery of a message is 80 minutes after the first, a late one adds 90, and the
/// guard comes after that.
const LONGEST_MS: u64 = 6 * WINDOW_MS;
const MINUTE_MS: u64 = 60_000;

/// What a night came to.
#[derive(Debug)]
pub struct Night {
    /// Its seed.
    pub seed: u64,
    /// Every promise that was broken.
    pub violations: Vec<String>,
    /// What was reached.
    pub reached: BTreeSet<String>,
    /// What happened, if it was asked for.
    pub transcript: Vec<String>,
}

/// Lives through the night of a seed.
#[must_use]
pub fn night(seed: u64, transcript: bool) -> Night {
    let exec = Exec::at(BEGINNING_MS);
    let mut rng = Rng::new(seed);
    let trouble = Trouble::of(&mut rng);
    let world = World::new(exec.clone(), rng, trouble, transcript);
    let about = format!("seed {seed}: {:?}", world.state().trouble);
    world.say(|| about);
    people(&world);
    exec.spawn(Arc::clone(&world).guard_every_minute());
    let over = exec
        .run(BEGINNING_MS + LONGEST_MS, || world.is_over() || !world.state().violations.is_empty());
    if world.state().violations.is_empty() {
        if !over {
            world.say(|| "the night is over before everything has ended".to_owned());
        }
        world.check_end();
    }
    let state = world.state();
    Night {
        seed,
        violations: state.violations.clone(),
        reached: state.reached.clone(),
        transcript: state.transcript().to_vec(),
    }
}

/// Instances, policies and firings.
fn people(world: &Arc<World>) {
    let mut state = world.state();
    let instances = state.rng.between(1, 4);
    let policies = state.rng.between(1, 2);
    for number in 1..=instances {
        let mut policy_tags = BTreeMap::new();
        for policy in 1..=policies {
            if state.rng.chance(7_000) || policy == 1 {
                policy_tags.insert(format!("backup-{policy}"), "yes".to_owned());
            }
        }
        let volumes = state.rng.between(1, 3);
        let id = format!("i-{number:017x}");
        let (offline, ends_or_reboots) = (state.trouble.offline, state.trouble.instance);
        let offline = if state.rng.chance(offline) {
            let from = BEGINNING_MS + state.rng.below(2 * MINUTE_MS);
            state.reach("trouble: an agent is offline");
            (from, from + state.rng.below(3 * MINUTE_MS))
        } else {
            (0, 0)
        };
        let managed = state.trouble.calm || !state.rng.chance(500);
        let host = Host {
            id: id.clone(),
            policy_tags,
            volumes: (1..=volumes).map(|one| format!("vol-{number:08x}{one:09x}")).collect(),
            boot: number,
            offline,
            terminated: false,
            managed,
            holds: BTreeMap::new(),
            past: BTreeMap::new(),
        };
        state.hosts.insert(id.clone(), host);
        if state.rng.chance(ends_or_reboots) {
            let in_ms = MINUTE_MS + state.rng.below(90_000);
            let ends = state.rng.chance(5_000);
            let off_ms = state.rng.between(5_000, 90_000);
            let (world, id) = (Arc::clone(world), id.clone());
            world.exec.clone().spawn(async move {
                world.exec.sleep(in_ms).await;
                if ends { world.terminate(&id) } else { world.reboot(&id, off_ms) }
            });
        }
    }
    if state.rng.chance(2_500) {
        // Others of ours have used the budget up, and know it.
        state.reach("the budget is used up");
        let until_ms = BEGINNING_MS + MINUTE_MS + 20_000;
        state.ec2.tokens = 0.0;
        state.ec2.at_ms = until_ms;
        state.bucket.0.full_at_us = (until_ms + 20_000) * 1_000;
        state.bucket.1 = Some(1);
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let neighbours = state.trouble.neighbours_milli as f64 / 1_000.0;
    state.ec2.neighbours = neighbours;
    for policy in 1..=policies {
        let id = format!("policy-{policy}");
        let mut document = policy_document(&mut state.rng, policy);
        // The first has DLM's window, the other a narrow or a wide one of its own.
        let window_ms = match (policy, instances % 2) {
            (1, _) => WINDOW_MS,
            (_, 0) => 20 * MINUTE_MS,
            _ => 150 * MINUTE_MS,
        };
        if window_ms != WINDOW_MS {
            document["Stillpoint"] = json!({ "StartWithinMinutes": window_ms / MINUTE_MS });
        }
        state.policies.insert(id.clone(), document.to_string());
        let in_ms = MINUTE_MS * (1 + state.rng.below(2));
        let nominal_time = time(BEGINNING_MS + in_ms);
        let firing =
            Firing { policy_id: id.clone(), schedule_name: "Nightly".into(), nominal_time };
        let on_demand = state.rng.chance(1_000);
        if !on_demand {
            // The time of the firing, and no other.
            let minute = in_ms / MINUTE_MS;
            state.deployed.push(Deployed {
                policy_id: id,
                schedule_name: "Nightly".into(),
                expression: format!("cron({minute} 8 * * ? 2027)"),
                time_zone: "UTC".into(),
                since_ms: BEGINNING_MS,
            });
            state.expected.push((firing.clone(), BEGINNING_MS + in_ms, window_ms));
        } else {
            state.reach("on demand");
        }
        world.exec.spawn(Arc::clone(world).fire(firing, in_ms, on_demand));
    }
}

fn time(ms: u64) -> String {
    let minutes = (ms - BEGINNING_MS) / MINUTE_MS;
    format!("2027-01-15T08:{minutes:02}:00Z")
}

fn policy_document(rng: &mut Rng, number: u64) -> Value {
    let document = rng.pick(&["Stillpoint-Filesystem", "Stillpoint-Filesystem", "Custom-Quiesce"]);
    let stages = match rng.below(20) {
        0 => json!(["PRE"]),
        1 => json!(["POST"]),
        _ => json!(["PRE", "POST"]),
    };
    let has_pre = stages[0] == "PRE";
    let mut script = json!({
        "ExecutionHandlerService": "AWS_SYSTEMS_MANAGER",
        "ExecutionHandler": document,
        "Stages": stages,
        "ExecutionTimeout": rng.pick(&[10, 10, 30, 60, 120]),
        "MaximumRetryCount": rng.below(4),
    });
    if has_pre {
        script["ExecuteOperationOnScriptFailure"] = rng.chance(7_000).into();
    }
    let mut create = json!({ "CronExpression": "cron(0 8 * * ? 2027)" });
    if !rng.chance(600) {
        create["Scripts"] = json!([script]);
    }
    json!({
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT",
        "ResourceTypes": ["INSTANCE"],
        "TargetTags": [{ "Key": format!("backup-{number}"), "Value": "yes" }],
        "Parameters": { "ExcludeBootVolume": true },
        "Schedules": [{
            "Name": "Nightly",
            "CreateRule": create,
            "RetainRule": { "Count": 7 },
        }],
    })
}
