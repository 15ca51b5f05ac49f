//! The way through AWS's VSS document, with a driver that dies or an answer that fails at
//! every single call. The document runs on, whoever watches it.

use std::collections::BTreeSet;

use stillpoint_run::{Code, Consistency, Handler, Order, Outcome};
use stillpoint_wire::vss::{DOCUMENT, INSTALLING_DOCUMENT};

use super::instance::Vss;
use super::world::{Document, Trouble, World};
use super::{assert_promises, deliver, drive_once};

fn order(retries: u32, fallback: bool) -> Order {
    let mut order = super::order(retries, fallback);
    let script = order.script.as_mut().unwrap();
    DOCUMENT.clone_into(&mut script.document);
    script.handler = Handler::Vss;
    script.pre = false;
    script.post = false;
    script.timeout_secs = 120;
    order.tags.insert("Team".to_owned(), "db & web".to_owned());
    order
}

/// Delivers until it is finished and returns outcome, label and code.
fn end(vss: Vss, order: &Order) -> (World, Outcome, Option<Consistency>, Option<Code>) {
    let world = World::new(Document::Vss(vss));
    let run = deliver(&world, order);
    assert_promises(&world, &run, &format!("{vss:?}"));
    let verdict = run.verdict.unwrap();
    (world, verdict.outcome, verdict.consistency, verdict.cause.map(|cause| cause.code))
}

#[test]
fn each_end_of_the_document_is_one_outcome() {
    use Consistency::{Application, Crash};
    use Outcome::{Completed, CompletedWithIssues as Issues, Failed};
    for (vss, fallback, outcome, consistency, code, made_by_us) in [
        (Vss::Consistent, true, Completed, Some(Application), None, false),
        (Vss::TooSlow, true, Issues, Some(Crash), Some(Code::VssNotConsistent), false),
        (Vss::NotInstalled, true, Issues, Some(Crash), Some(Code::VssFailed), true),
        (Vss::NotInstalled, false, Failed, None, Some(Code::VssFailed), false),
        (Vss::FailsLate, true, Issues, Some(Crash), Some(Code::VssFailed), false),
        (Vss::Tagless, true, Issues, Some(Crash), Some(Code::VssFailed), false),
        (Vss::Hangs, true, Issues, Some(Crash), Some(Code::VssTimedOut), false),
        (Vss::HangsEmpty, true, Issues, Some(Crash), Some(Code::VssTimedOut), true),
        (Vss::HangsEmpty, false, Failed, None, Some(Code::VssTimedOut), false),
        // It may still make its set, so nobody else makes one.
        (Vss::Deaf, true, Failed, None, Some(Code::VssUncertain), false),
        (Vss::Skipped, true, Issues, Some(Crash), Some(Code::NothingRan), true),
        (Vss::NotDelivered, true, Issues, Some(Crash), Some(Code::NotSent), true),
        (Vss::NotDelivered, false, Failed, None, Some(Code::NotSent), false),
    ] {
        let (world, found, label, why) = end(vss, &order(0, fallback));
        assert_eq!((found, label, why), (outcome, consistency, code), "{vss:?} {fallback}");
        let calls = &world.state.lock().unwrap().calls;
        assert_eq!(calls.contains(&"create"), made_by_us, "{vss:?} {fallback}");
    }
}

#[test]
fn what_the_document_made_gets_all_of_our_tags() {
    for vss in [Vss::Consistent, Vss::FailsLate, Vss::Tagless] {
        let (world, ..) = end(vss, &order(0, true));
        let state = world.state.lock().unwrap();
        for one in &state.sets[0].0.snapshots {
            let tags = &state.tags[&one.snapshot_id];
            assert_eq!(tags["stillpoint:run-id"], "run-1", "{vss:?}");
            assert_eq!(tags["stillpoint:policy-id"], "policy-1", "{vss:?}");
            assert_eq!(tags["Team"], "db & web", "{vss:?}: the document cannot take it");
            let label = if vss == Vss::Consistent { "application" } else { "crash" };
            assert_eq!(tags["stillpoint:consistency"], label, "{vss:?}");
        }
    }
}

#[test]
fn a_failed_document_is_repeated_only_if_it_made_nothing() {
    let (world, ..) = end(Vss::NotInstalled, &order(2, true));
    assert_eq!(world.state.lock().unwrap().vss.len(), 3);
    for vss in [Vss::TooSlow, Vss::FailsLate, Vss::Tagless, Vss::Hangs] {
        let (world, ..) = end(vss, &order(2, true));
        assert_eq!(world.state.lock().unwrap().vss.len(), 1, "{vss:?}");
    }
}

#[test]
fn a_driver_that_died_leaves_the_document_to_the_next_one() {
    let world = World::new(Document::Vss(Vss::Consistent)).with((6, Trouble::DieBefore));
    assert!(drive_once(&world, &order(0, true)).is_none());
    let run = deliver(&world, &order(0, true));
    assert_promises(&world, &run, "died");
    assert_eq!(run.verdict.unwrap().consistency, Some(Consistency::Application));
    assert_eq!(world.state.lock().unwrap().vss.len(), 1);
}

#[test]
fn a_lost_answer_to_send_command_is_found_by_its_comment() {
    let quiet = World::new(Document::Vss(Vss::Consistent));
    deliver(&quiet, &order(0, true));
    let sends = quiet.state.lock().unwrap().calls.iter().position(|call| *call == "send").unwrap();
    let world = World::new(Document::Vss(Vss::Consistent)).with((sends, Trouble::LoseReply));
    let run = deliver(&world, &order(0, true));
    assert_promises(&world, &run, "lost");
    assert_eq!(run.verdict.unwrap().consistency, Some(Consistency::Application));
    assert_eq!(world.state.lock().unwrap().vss.len(), 1, "it was sent twice");
}

#[test]
fn the_document_is_told_what_the_policy_says() {
    let mut order = order(0, true);
    INSTALLING_DOCUMENT.clone_into(&mut order.script.as_mut().unwrap().document);
    let own = &mut order.script.as_mut().unwrap().parameters;
    own.insert("CopyOnly".to_owned(), vec!["True".to_owned()]);
    own.insert("tags".to_owned(), vec!["Key=stillpoint:run-id,Value=forged".to_owned()]);
    let (world, ..) = end(Vss::Consistent, &order);
    let sent = &world.state.lock().unwrap().sent[0];
    let one = |name: &str| sent[name].join("|");
    assert_eq!(one("ExcludeBootVolume"), "True");
    assert_eq!(one("CopyOnly"), "True");
    assert_eq!(one("executionTimeout"), "120");
    assert_eq!(one("description"), "stillpoint policy-1 run-1");
    assert!(one("tags").contains("Key=stillpoint:run-id,Value=run-1"), "{}", one("tags"));
    assert!(!one("tags").contains("forged") && !one("tags").contains('&'), "{}", one("tags"));
    assert!(!sent.contains_key("command") && !sent.contains_key("executionId"), "{sent:?}");
}

#[test]
fn every_call_failing_in_every_way_keeps_the_promises() {
    let kinds = [
        Vss::Consistent,
        Vss::TooSlow,
        Vss::NotInstalled,
        Vss::FailsLate,
        Vss::Tagless,
        Vss::Hangs,
        Vss::HangsEmpty,
        Vss::Deaf,
        Vss::Skipped,
        Vss::NotDelivered,
    ];
    let mut outcomes = BTreeSet::new();
    for vss in kinds {
        for (retries, fallback) in [(0, true), (1, true), (0, false)] {
            let order = order(retries, fallback);
            let calm = World::new(Document::Vss(vss));
            deliver(&calm, &order);
            // Each poll of a document that hangs is like the others.
            let calls = calm.state.lock().unwrap().calls.clone();
            let worth = |at: &usize| *at < 12 || calls[*at] != "state";
            for at in (0..calls.len()).filter(worth) {
                for trouble in Trouble::ALL {
                    let what = format!("{vss:?} {retries} {fallback}: {trouble:?} at {at}");
                    let world = World::new(Document::Vss(vss)).with((at, trouble));
                    let run = deliver(&world, &order);
                    // A document that nobody could end makes its set at last.
                    world.state.lock().unwrap().now_ms += 86_400_000;
                    world.state.lock().unwrap().go_on(Document::Vss(vss));
                    let late = vss == Vss::Deaf && run.set.is_none();
                    if !late {
                        assert_promises(&world, &run, &what);
                    }
                    assert!(world.state.lock().unwrap().sets.len() <= 1, "{what}: I3");
                    let verdict = run.verdict.unwrap();
                    let code = verdict.cause.map(|cause| cause.code.as_str());
                    outcomes.insert((verdict.outcome.as_str(), code));
                }
            }
        }
    }
    for code in ["SP3004", "SP3011", "SP3019", "SP3021", "SP3022", "SP3023", "SP3024", "SP3025"] {
        assert!(outcomes.iter().any(|(_, one)| *one == Some(code)), "{code} was never reached");
    }
    assert!(outcomes.contains(&("completed", None)), "{outcomes:?}");
}
