//! The loop around a run, with a driver that dies or an answer that fails at every
//! single call, held against what really happened.

mod instance;
mod notified;
mod vss;
mod world;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use stillpoint_drive::outside::{Fault, FaultKind};
use stillpoint_drive::{Advance, DriveError, Limits, Task, advance};
use stillpoint_run::{Consistency, Handler, Order, Outcome, Phase, Run, Script, Volume};
use world::{Document, Trouble, World};

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

#[test]
fn a_quiet_night_is_application_consistent() {
    let world = World::new(Document::Agent);
    let run = deliver(&world, &order(0, true));
    assert_promises(&world, &run, "quiet");
    let verdict = run.verdict.unwrap();
    assert_eq!(verdict.outcome, Outcome::Completed);
    assert_eq!(verdict.consistency, Some(Consistency::Application));
    assert_eq!(verdict.frozen_ms, Some(7));
    let state = world.state.lock().unwrap();
    let expected = [
        "load", "reserve", "save", "send", "state", "create", "send", "state", "save", "tag",
        "tag", "tag",
    ];
    assert_eq!(state.calls[..expected.len()], expected);
    assert_eq!(state.tags["snap-0-vol-a"]["stillpoint:consistency"], "application");
}

#[test]
fn a_duplicate_delivery_does_nothing() {
    let world = World::new(Document::Agent);
    deliver(&world, &order(0, true));
    let calls = world.state.lock().unwrap().calls.len();
    let again = drive_once(&world, &order(0, true)).unwrap().unwrap();
    assert!(matches!(again, Advance::AlreadyFinished));
    assert_eq!(world.state.lock().unwrap().calls[calls..], ["load"]);
}

#[test]
fn a_second_delivery_leaves_a_living_driver_alone() {
    let world = World::new(Document::Agent).with((5, Trouble::DieBefore));
    assert!(drive_once(&world, &order(0, true)).is_none());
    let again = drive_once(&world, &order(0, true)).unwrap().unwrap();
    assert!(matches!(again, Advance::Busy { .. }));
    assert!(world.state.lock().unwrap().held.is_some(), "its hold was thawed");
}

#[test]
fn every_call_failing_in_every_way_keeps_the_promises() {
    let documents = [
        Document::Agent,
        Document::NoReceipts,
        Document::PreFails,
        Document::PreHangs,
        Document::AutoThaws,
        Document::PostFails,
        Document::Garbage,
        Document::Silent,
        Document::Skipped,
    ];
    let troubles = [
        Trouble::DieBefore,
        Trouble::DieAfter,
        Trouble::Refuse,
        Trouble::Throttle,
        Trouble::LoseReply,
    ];
    let mut outcomes = std::collections::BTreeSet::new();
    for document in documents {
        for (retries, fallback) in [(0, true), (1, true), (0, false)] {
            let order = order(retries, fallback);
            let calm = World::new(document);
            deliver(&calm, &order);
            // A hanging script is polled hundreds of times; each poll is like the others.
            let calls = calm.state.lock().unwrap().calls.len().min(40);
            for at in 0..calls {
                for trouble in troubles {
                    let what = format!("{document:?} {retries} {fallback}: {trouble:?} at {at}");
                    let world = World::new(document).with((at, trouble));
                    let run = deliver(&world, &order);
                    assert_promises(&world, &run, &what);
                    let verdict = run.verdict.unwrap();
                    let code = verdict.cause.map(|cause| cause.code.as_str());
                    outcomes.insert((verdict.outcome.as_str(), code));
                }
            }
        }
    }
    // The sweep is worth nothing if it never leaves the quiet path.
    for code in ["SP3002", "SP3003", "SP3004", "SP3005", "SP3006", "SP3008", "SP3009", "SP3011"] {
        assert!(outcomes.iter().any(|(_, one)| *one == Some(code)), "{code} was never reached");
    }
    assert!(outcomes.contains(&("failed", Some("SP3002"))), "{outcomes:?}");
    assert!(outcomes.contains(&("completed", None)), "{outcomes:?}");
}

#[test]
fn a_lost_reply_is_adopted_and_never_called_application() {
    let world = World::new(Document::Agent).with((5, Trouble::LoseReply));
    let run = deliver(&world, &order(3, true));
    assert_promises(&world, &run, "lost reply");
    let verdict = run.verdict.unwrap();
    assert_eq!(verdict.consistency, Some(Consistency::Crash));
    assert_eq!(verdict.cause.unwrap().code.as_str(), "SP3011");
}

#[test]
fn throttled_inside_the_window_is_released_before_it_is_tried_again() {
    let world = World::new(Document::Agent).with((5, Trouble::Throttle));
    let run = deliver(&world, &order(1, true));
    assert_promises(&world, &run, "throttled");
    assert_eq!(run.attempt, 2);
    assert_eq!(run.verdict.unwrap().consistency, Some(Consistency::Application));
}

#[test]
fn a_vanished_instance_is_a_readable_failure() {
    let text = "the instance i-1 is terminated".to_owned();
    let kind = FaultKind::Refused;
    for gone in [
        Fault { kind, code: "InvalidInstanceID.NotFound".to_owned(), text: String::new() },
        // EC2 shows a terminated instance for about an hour.
        Fault { kind, code: "IncorrectInstanceState".to_owned(), text },
    ] {
        let code = gone.code.clone();
        let mut world = World::new(Document::Agent);
        world.instance_exists = false;
        world.gone = gone;
        let run = deliver(&world, &order(0, true));
        assert_promises(&world, &run, "vanished");
        let verdict = run.verdict.unwrap();
        assert_eq!(verdict.outcome, Outcome::Failed);
        let cause = verdict.cause.unwrap();
        assert_eq!(cause.code.as_str(), "SP3016");
        assert!(cause.text.contains(&code), "{cause}");
    }
}

#[test]
fn an_attempt_that_does_not_fit_is_not_begun() {
    let world = World::new(Document::Agent);
    let limits = limits(&world, 60_000);
    let mut driver = pin!(advance(&world, order(0, true), limits));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(Advance::OutOfTime)) = driver.as_mut().poll(&mut context) else {
        panic!("it was begun");
    };
    assert!(world.state.lock().unwrap().pre_ran.is_empty());
    let run = deliver(&world, &order(0, true));
    assert_eq!(run.attempt, 1, "the attempt that was not begun was counted");
    assert_eq!(run.verdict.unwrap().consistency, Some(Consistency::Application));
}

#[test]
fn our_documents_are_told_the_time_and_the_volumes_and_others_only_what_dlm_sends() {
    for (document, ours) in [
        ("Stillpoint-Filesystem", true),
        ("arn:aws:ssm:us-east-1:111122223333:document/Stillpoint-PostgreSQL", true),
        ("Database-Quiesce", false),
    ] {
        let mut order = order(0, true);
        order.volumes[0].boot = true;
        order.script.as_mut().unwrap().document = document.to_owned();
        let world = World::new(Document::Agent);
        deliver(&world, &order);
        let sent = &world.state.lock().unwrap().sent;
        assert_eq!(sent.len(), 2);
        for parameters in sent {
            let value = |name: &str| parameters.get(name).map(|all| all.join(" "));
            assert_eq!(value("timeout").as_deref(), ours.then_some("10s"));
            assert_eq!(value("volumes").as_deref(), ours.then_some("vol-b"));
        }
    }
}

#[test]
fn every_status_of_a_command_means_one_thing() {
    use stillpoint_drive::outside::Progress::{self, *};
    for (status, details, means) in [
        ("Pending", "Pending", Waiting),
        ("Delayed", "Delayed", Waiting),
        ("InProgress", "InProgress", Running),
        ("Cancelling", "Cancelling", Running),
        ("Success", "Success", Succeeded),
        ("Failed", "Failed", Failed),
        ("TimedOut", "DeliveryTimedOut", GivenUp),
        ("TimedOut", "Delivery Timed Out", GivenUp),
        ("TimedOut", "ExecutionTimedOut", OutOfTime),
        ("TimedOut", "Execution Timed Out", OutOfTime),
        ("TimedOut", "", GivenUp),
        ("Cancelled", "Cancelled", Cancelled),
        ("Cancelled", "", Cancelled),
        ("Cancelled", "Terminated", GivenUp),
        ("Failed", "Terminated", GivenUp),
        ("Failed", "Undeliverable", NeverRan),
        ("Cancelled", "Undeliverable", NeverRan),
        ("Failed", "InvalidPlatform", NeverRan),
        ("Failed", "Invalid Platform", NeverRan),
        ("Failed", "AccessDenied", NeverRan),
        ("Failed", "Access Denied", NeverRan),
        ("Failed", "something new", Failed),
        ("Invented", "Later", Waiting),
        ("", "", Waiting),
    ] {
        assert_eq!(Progress::of(status, details), means, "{status} {details}");
    }
}

#[test]
fn every_exit_code_is_one_cause() {
    for (stage, code, cause, words) in [
        ("pre-script", 1, "SP3002", "exited with 1 (an exit code of the document's own)"),
        ("pre-script", 201, "SP3002", "exited with 201 (the pre-script failed)"),
        ("pre-script", 202, "SP3002", "exited with 202 (the post-script failed)"),
        ("pre-script", 203, "SP3002", "exited with 203 (the auto-thaw came before"),
        ("pre-script", 204, "SP3002", "exited with 204 (pre-script while a post-script"),
        ("pre-script", 205, "SP3002", "exited with 205 (post-script while a pre-script"),
        ("pre-script", 206, "SP3017", "exited with 206 (not ready for it)"),
        ("post-script", 1, "SP3006", "exited with 1 (an exit code of the document's own)"),
        ("post-script", 201, "SP3006", "exited with 201 (the pre-script failed)"),
        ("post-script", 202, "SP3006", "exited with 202 (the post-script failed)"),
        ("post-script", 203, "SP3005", "exit code 203: released before the post-script came"),
        ("post-script", 204, "SP3006", "exited with 204 (pre-script while a post-script"),
        ("post-script", 205, "SP3007", "exit code 205: the post-script found nothing held"),
        ("post-script", 206, "SP3006", "exited with 206 (not ready for it)"),
    ] {
        let world = World::new(Document::Exits(stage, code));
        let run = deliver(&world, &order(0, true));
        assert_promises(&world, &run, &format!("{stage} {code}"));
        let verdict = run.verdict.unwrap();
        assert_eq!(verdict.consistency, Some(Consistency::Crash), "{stage} {code}");
        let found = verdict.cause.unwrap();
        assert_eq!(found.code.as_str(), cause, "{stage} {code}");
        assert!(found.text.contains(words), "{stage} {code}: {found}");
    }
}

#[test]
fn twins_in_one_batch_at_the_same_millisecond_make_one_set() {
    // The first has read that there is no record, then the second reads the same, writes
    // it, and is about to send; then the first writes: the same run, the same version,
    // the same end of the lease.
    let mut world = World::new(Document::Agent);
    world.pauses = vec![2, 6];
    let order = order(0, true);
    let named =
        |driver: &str| Limits { driver: driver.to_owned(), ..limits(&world, INVOCATION_MS) };
    let (first, second) = (named("request-1/message-1"), named("request-1/message-2"));
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pin!(advance(&world, order.clone(), first));
    let mut second = pin!(advance(&world, order.clone(), second));
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    let overtaken = first.as_mut().poll(&mut context);
    assert!(matches!(overtaken, Poll::Ready(Err(DriveError::Overtaken))), "{overtaken:?}");
    let finished = second.as_mut().poll(&mut context);
    let Poll::Ready(Ok(Advance::Finished(run))) = finished else { panic!("{finished:?}") };
    assert_promises(&world, &run, "twins");
    let calls = &world.state.lock().unwrap().calls;
    let expected =
        ["load", "reserve", "turn", "load", "reserve", "save", "turn", "save", "load", "send"];
    assert_eq!(calls[..10], expected);
}

#[test]
fn whoever_waits_long_for_its_turn_drives_the_run_and_a_double_reserves_nothing() {
    let mut world = World::new(Document::Agent);
    (world.wait_ms, world.pauses) = (100_000, vec![3]);
    let order = order(0, true);
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pin!(advance(&world, order.clone(), limits(&world, INVOCATION_MS)));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut double = pin!(advance(&world, order, limits(&world, INVOCATION_MS)));
    let busy = double.as_mut().poll(&mut context);
    assert!(matches!(busy, Poll::Ready(Ok(Advance::Busy { .. }))), "{busy:?}");
    let calls = world.state.lock().unwrap().calls.clone();
    assert_eq!(calls, ["load", "reserve", "save", "turn", "load"]);
    // It waits as a run that has not begun: whoever finds it after a death owes nothing.
    assert_eq!(world.state.lock().unwrap().ledger["run-1"].run.phase, Phase::New);
    let Poll::Ready(Ok(Advance::Finished(run))) = first.as_mut().poll(&mut context) else {
        panic!("it does not go on");
    };
    assert_promises(&world, &run, "waited");
}

#[test]
fn a_silent_document_is_claimed_and_one_that_was_skipped_is_not() {
    for (document, consistency, code) in [
        (Document::Silent, Consistency::Claimed, "SP3008"),
        (Document::Skipped, Consistency::Crash, "SP3021"),
    ] {
        let world = World::new(document);
        let run = deliver(&world, &order(0, true));
        assert_promises(&world, &run, "silent");
        let verdict = run.verdict.unwrap();
        assert_eq!(verdict.consistency, Some(consistency), "{document:?}");
        assert_eq!(verdict.cause.unwrap().code.as_str(), code, "{document:?}");
        // The steps are asked for when nothing is held any more.
        let calls = &world.state.lock().unwrap().calls;
        let at = |name: &str| calls.iter().rposition(|call| *call == name).unwrap();
        assert!(at("steps") > at("create"), "{calls:?}");
    }
}
