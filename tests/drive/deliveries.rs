//! Deliveries of one run, alone, twice and at the same time, with a driver that dies or an answer that
//! fails at every single call.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use stillpoint_drive::outside::{Fault, FaultKind};
use stillpoint_drive::{Advance, DriveError, Limits, advance};
use stillpoint_run::{Consistency, Outcome, Phase};

use super::world::{Document, Trouble, World};
use super::{INVOCATION_MS, assert_promises, deliver, drive_once, limits, order};

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
    let mut outcomes = std::collections::BTreeSet::new();
    for document in documents {
        for (retries, fallback) in [(0, true), (1, true), (0, false)] {
            let order = order(retries, fallback);
            let calm = World::new(document);
            deliver(&calm, &order);
            // A hanging script is polled hundreds of times; each poll is like the others.
            let calls = calm.state.lock().unwrap().calls.len().min(40);
            for at in 0..calls {
                for trouble in Trouble::ALL {
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
