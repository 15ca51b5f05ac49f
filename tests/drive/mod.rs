//! The loop around a run, with a driver that dies or an answer that fails at every
//! single call, held against what really happened.

mod deliveries;
mod documents;
mod instance;
mod notified;
mod vss;
mod world;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use stillpoint_drive::{Advance, DriveError, Limits, Task, advance};
use stillpoint_run::{Consistency, Handler, Order, Phase, Run, Script, Volume};
use world::World;

const INVOCATION_MS: u64 = 900_000;
/// An hour after the world's beginning.
const START_BEFORE_MS: u64 = world::BEGINNING_MS + 3_600_000;

fn order(retries: u32, fallback: bool) -> Order {
    let volume = |id: &str, device: &str| Volume {
        volume_id: id.to_owned(),
        device: device.to_owned(),
        boot: false,
        size_gib: 1,
    };
    Order {
        run_id: "run-1".to_owned(),
        policy_id: "policy-1".to_owned(),
        schedule_name: "Nightly".to_owned(),
        nominal_time: "2026-01-02T03:04:00Z".to_owned(),
        start_before_ms: START_BEFORE_MS,
        instance_id: "i-1".to_owned(),
        volumes: vec![volume("vol-a", "/dev/sdf"), volume("vol-b", "/dev/sdg")],
        left_out: vec![],
        exclude_boot_volume: true,
        exclude_data_volume_ids: vec![],
        copy_tags: false,
        tags: std::collections::BTreeMap::default(),
        script: Some(Script {
            document: "Stillpoint-Filesystem".to_owned(),
            handler: Handler::PrePost,
            parameters: std::collections::BTreeMap::default(),
            pre: true,
            post: true,
            timeout_secs: 10,
            retries,
            fallback,
            skip: None,
        }),
        require_application: false,
    }
}

/// Of a driver that has this long; each has a name of its own.
fn limits(world: &World, ms: u64) -> Limits {
    let state = world.state.lock().unwrap();
    let driver = format!("driver-{}", state.calls.len());
    Limits { driver, dead_at_ms: state.now_ms + ms, task: Task::Run }
}

/// Polls until the driver is done or, having died, never will be.
fn drive_once(world: &World, order: &Order) -> Option<Result<Advance, DriveError>> {
    let limits = limits(world, INVOCATION_MS);
    let mut driver = pin!(advance(world, order.clone(), limits));
    let mut context = Context::from_waker(Waker::noop());
    match driver.as_mut().poll(&mut context) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Delivers the message until the run is finished, as the queue would.
fn deliver(world: &World, order: &Order) -> Run {
    for _ in 0..6 {
        match drive_once(world, order) {
            Some(Ok(Advance::Finished(_) | Advance::AlreadyFinished)) => {
                let state = world.state.lock().unwrap();
                return state.ledger[&order.run_id].run.clone();
            }
            Some(Ok(Advance::Busy { .. } | Advance::OutOfTime) | Err(_)) | None => {
                world.state.lock().unwrap().now_ms += INVOCATION_MS + 1;
            }
        }
    }
    panic!("six deliveries did not finish the run: {:?}", world.state.lock().unwrap().calls);
}

/// What must be true of every finished run, whatever went wrong on the way.
fn assert_promises(world: &World, run: &Run, what: &str) {
    let state = world.state.lock().unwrap();
    assert_eq!(run.phase, Phase::Done, "{what}");
    assert!(state.sets.len() <= 1, "{what}: I3, {} sets", state.sets.len());
    for id in &state.pre_ran {
        assert!(state.post_ran.contains(id), "{what}: I4, no post-script after {id}");
    }
    assert!(!state.finished.is_empty(), "{what}: I6, no event");
    let first = &state.finished[0];
    let outcome = |detail: &String| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(detail).unwrap()["outcome"].clone()
    };
    assert!(state.finished.iter().all(|one| outcome(one) == outcome(first)), "{what}: I6");
    for (stage, report) in [("PRE", &run.pre), ("POST", &run.post)] {
        let told = |(_, detail): &(String, String)| {
            let detail = serde_json::from_str::<serde_json::Value>(detail).unwrap();
            detail["script_stage"] == stage
                && report.as_ref().is_some_and(|report| detail["request_id"] == report.execution_id)
        };
        assert!(
            report.is_none() || state.notified.iter().any(told),
            "{what}: I6, nobody was told of {stage}"
        );
    }
    let verdict = run.verdict.as_ref().unwrap();
    if verdict.consistency == Some(Consistency::Application) {
        let held = state.sets[0].1.as_ref();
        let marked = |one: &stillpoint_run::SnapshotTaken| {
            let tags = &state.tags[&one.snapshot_id];
            tags.get("AppConsistent").is_some_and(|value| value == "True")
        };
        let by_vss = state.sets[0].0.snapshots.iter().all(marked);
        assert!(held.is_some() || by_vss, "{what}: I2, application without a hold");
    }
    assert_eq!(verdict.consistency.is_some(), state.sets.len() == 1, "{what}");
    for call in &state.in_window {
        assert!(
            matches!(*call, "state" | "create" | "send" | "cancel"),
            "{what}: {call} in the window"
        );
    }
}
