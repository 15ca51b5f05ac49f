//! What a script in a function does: one function an instance, as many at once as Lambda's
//! default quota lets run, each by itself. It is a careful one: the post-script is always sent.
//!
//! Assumed: 1,000 functions at once (Lambda's default); commands are looked at every second;
//! CreateSnapshots has the SDKs' standard retries, three attempts with up to 1 and 2 s between
//! them, also while the instance is held; a set is called consistent if the pre-script succeeded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stillpoint_drive::outside::{
    CommandState, Commands, Fault, FaultKind, Progress, SendCommand, Snapshots,
};
use stillpoint_run::{DELIVERY_SECS, Order, SnapshotSet, Stage};

use super::people::{DOCUMENT, POLICY, SCHEDULE, TIMEOUT_SECS};
use super::{FIRES_MS, Labels, Told, run_id};
use crate::BEGINNING_MS;
use crate::exec::{Exec, lock};
use crate::hand::Hand;
use crate::world::World;

const AT_ONCE: usize = 1_000;
const POLL_MS: u64 = 1_000;
const ATTEMPTS: u32 = 3;
const FUNCTION_MS: u64 = 900_000;

pub(super) fn run(exec: &Exec, world: &Arc<World>, longest_ms: u64) -> Labels {
    let mut left: Vec<String> = world.state().hosts.keys().rev().cloned().collect();
    let all = left.len();
    let labels = Arc::new(Mutex::new(Labels::new()));
    let first = left.split_off(left.len().saturating_sub(AT_ONCE));
    let left = Arc::new(Mutex::new(left));
    for instance_id in first {
        let (world, labels, left) = (Arc::clone(world), Arc::clone(&labels), Arc::clone(&left));
        exec.spawn(async move {
            world.exec.sleep(FIRES_MS).await;
            let mut next = Some(instance_id);
            while let Some(instance_id) = next {
                let order = order(&world, &instance_id);
                let label = world.invoke("naive", FUNCTION_MS, async |hand: &Hand, _: &str, _| {
                    one(hand, &order).await
                });
                let application = label.await.unwrap_or(false);
                lock(&labels).insert(order.run_id, Told { application, attempts: 1 });
                next = lock(&left).pop();
            }
        });
    }
    exec.run(BEGINNING_MS + longest_ms, || lock(&labels).len() == all);
    lock(&labels).clone()
}

async fn one(hand: &Hand, order: &Order) -> bool {
    let id = "00000000-0000-8000-8000-000000000001";
    let pre = script(hand, order, Stage::Pre, id).await;
    let set = create(hand, order, &BTreeMap::new()).await;
    script(hand, order, Stage::Post, id).await;
    pre && set.is_ok()
}

/// What both of the others need to make a set of.
pub(super) fn order(world: &World, instance_id: &str) -> Order {
    let volumes = world.state().hosts.get(instance_id).map(|host| host.volumes.clone());
    let volume = |(at, id): (usize, String)| stillpoint_run::Volume {
        volume_id: id,
        device: format!("/dev/sd{}", char::from(b'f' + at.to_le_bytes()[0])),
        boot: false,
        size_gib: 8,
    };
    Order {
        run_id: run_id(instance_id),
        policy_id: POLICY.to_owned(),
        schedule_name: SCHEDULE.to_owned(),
        nominal_time: String::new(),
        start_before_ms: u64::MAX,
        instance_id: instance_id.to_owned(),
        volumes: volumes.unwrap_or_default().into_iter().enumerate().map(volume).collect(),
        left_out: vec![],
        exclude_boot_volume: true,
        exclude_data_volume_ids: vec![],
        copy_tags: false,
        tags: BTreeMap::new(),
        script: None,
        require_application: false,
    }
}

/// Sends a document once, and looks at it until it ends or its time is over.
pub(super) async fn script(hand: &Hand, order: &Order, stage: Stage, id: &str) -> bool {
    let ids: Vec<&str> = order.volumes.iter().map(|one| one.volume_id.as_str()).collect();
    let parameters = [
        ("command", stage.command().to_owned()),
        ("executionId", id.to_owned()),
        ("volumes", ids.join(",")),
    ];
    let command = SendCommand {
        instance_id: order.instance_id.clone(),
        document: DOCUMENT.to_owned(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), vec![value])).into(),
        delivery_secs: DELIVERY_SECS,
        comment: String::new(),
    };
    let Ok(command_id) = hand.send(&command).await else { return false };
    for _ in 0..DELIVERY_SECS + TIMEOUT_SECS {
        hand.pause(POLL_MS).await;
        let state = hand.state(&command_id, &order.instance_id, None).await;
        match state.map(|state: CommandState| state.progress) {
            Ok(Progress::Succeeded) => return true,
            Err(_) | Ok(Progress::Waiting | Progress::Running) => {}
            Ok(_) => return false,
        }
    }
    drop(hand.cancel(&command_id, &order.instance_id).await);
    false
}

/// As the SDKs do it by default: whatever may pass is tried again.
pub(super) async fn create(
    hand: &Hand,
    order: &Order,
    tags: &BTreeMap<String, String>,
) -> Result<SnapshotSet, Fault> {
    let mut tried = 1;
    loop {
        match hand.create(order, tags).await {
            Err(fault) if fault.kind != FaultKind::Refused && tried < ATTEMPTS => {
                hand.pause_at_random(1_000 << (tried - 1)).await;
                tried += 1;
            }
            answer => return answer,
        }
    }
}
