//! Data Lifecycle Manager, as far as it is documented: a failed pre-script is not followed by a
//! post-script, a failed attempt is repeated as a whole, a failed post-script by itself, and a set
//! is tagged pre-script SUCCESS and post-script SUCCESS.
//!
//! Not documented, and assumed in its favour: it starts a hundred instances at once and then five
//! a second, which is what EC2 grants; it never dies; it looks at a command every second; a
//! throttled CreateSnapshots is repeated as the SDKs do it, and is a failed attempt after that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stillpoint_run::{Order, Stage};

use super::naive::{create, order, script};
use super::people::RETRIES;
use super::{FIRES_MS, Labels, Told};
use crate::BEGINNING_MS;
use crate::exec::{Exec, lock};
use crate::hand::Hand;
use crate::world::World;

const BURST: u64 = 100;
const EVERY_MS: u64 = 200;

pub(super) fn run(exec: &Exec, world: &Arc<World>, longest_ms: u64) -> Labels {
    let ids: Vec<String> = world.state().hosts.keys().cloned().collect();
    let all = ids.len();
    let labels = Arc::new(Mutex::new(Labels::new()));
    for (number, instance_id) in (0..).zip(ids) {
        let (world, labels) = (Arc::clone(world), Arc::clone(&labels));
        let after_ms = FIRES_MS + EVERY_MS * u64::saturating_sub(number, BURST);
        // It starts within an hour, or has not started.
        if after_ms > FIRES_MS + crate::WINDOW_MS {
            let never = Told { application: false, attempts: 0 };
            lock(&labels).insert(super::run_id(&instance_id), never);
            continue;
        }
        exec.spawn(async move {
            world.exec.sleep(after_ms).await;
            let order = order(&world, &instance_id);
            let label = world
                .invoke("dlm", longest_ms, async |hand: &Hand, _: &str, _| one(hand, &order).await);
            let (application, attempts) = label.await.unwrap_or((false, 0));
            lock(&labels).insert(order.run_id, Told { application, attempts });
        });
    }
    exec.run(BEGINNING_MS + longest_ms, || lock(&labels).len() == all);
    lock(&labels).clone()
}

async fn one(hand: &Hand, order: &Order) -> (bool, u32) {
    for attempt in 0..=RETRIES {
        let id = format!("00000000-0000-8000-8000-{attempt:012}");
        if !script(hand, order, Stage::Pre, &id).await {
            continue;
        }
        let set = create(hand, order, &BTreeMap::new()).await;
        let mut released = false;
        for _ in 0..=RETRIES {
            released = released || script(hand, order, Stage::Post, &id).await;
        }
        if set.is_ok() {
            return (released, attempt + 1);
        }
    }
    // ExecuteOperationOnScriptFailure: a crash-consistent set.
    drop(create(hand, order, &BTreeMap::new()).await);
    (false, RETRIES + 1)
}
