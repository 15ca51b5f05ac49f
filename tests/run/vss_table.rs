//! The truth table of a run under AWS's VSS document, a test a row.

use stillpoint_run::{
    Cause, Code, CommandEnd, Consistency, Handler, Order, Outcome, Owed, Proof, Run, Seen,
    SnapshotSet, SnapshotTaken, StageReport, StageResult, apply, decide, owed,
};

use super::{CALL, order_with, set, tell};

const APPLICATION: Option<Consistency> = Some(Consistency::Application);
const CRASH: Option<Consistency> = Some(Consistency::Crash);

fn order(retries: u32, fallback: bool) -> Order {
    order_with(|script| {
        script.handler = Handler::Vss;
        script.pre = false;
        script.post = false;
        script.retries = retries;
        script.fallback = fallback;
    })
}

fn sent() -> Seen {
    Seen::Sent { command_id: "command".to_owned(), now_ms: 5 }
}

fn vss_end(result: StageResult, proof: Proof, cause: Option<Cause>) -> Seen {
    let report = StageReport {
        result,
        execution_id: "id-1".to_owned(),
        command_id: Some("command".to_owned()),
        exit_code: None,
        cause: String::new(),
        proof,
        started_ms: 1,
        ended_ms: 2,
    };
    Seen::Script {
        end: Box::new(CommandEnd { report, cause }),
        next_execution_id: "id-2".to_owned(),
    }
}

fn proof(error: i64, snapshots: Vec<SnapshotTaken>) -> Proof {
    Proof::Vss { error, set_id: "set".to_owned(), frozen_ms: Some(1_234), snapshots }
}

fn succeeded() -> Seen {
    vss_end(StageResult::Ok, proof(0, vec![]), None)
}

fn ends(result: StageResult, code: Code) -> Seen {
    vss_end(result, Proof::None, Some(Cause::new(code, "it says so")))
}

/// The whole set of the plan, with these marks.
fn marked(marks: [Option<bool>; 3]) -> SnapshotSet {
    let mut set = SnapshotSet { adopted: true, ..set() };
    for (one, mark) in set.snapshots.iter_mut().zip(marks) {
        one.app_consistent = mark;
    }
    set
}

fn found(set: Option<SnapshotSet>) -> Seen {
    Seen::Found { set, next_execution_id: "id-2".to_owned() }
}

fn check(
    order: Order,
    answers: Vec<Seen>,
    expected: (Outcome, Option<Consistency>, Option<Code>),
) -> Run {
    let (run, _) = tell(order, answers);
    let verdict = run.verdict.clone().expect("a verdict");
    let code = verdict.cause.as_ref().map(|cause| cause.code);
    assert_eq!((verdict.outcome, verdict.consistency, code), expected, "{verdict:#?}");
    assert!(run.thaw_owed.is_none(), "nothing of ours is held");
    run
}

#[test]
fn vss_with_every_snapshot_marked_is_application() {
    let answers = vec![sent(), succeeded(), found(Some(marked([Some(true); 3])))];
    let run = check(order(0, true), answers, (Outcome::Completed, APPLICATION, None));
    let verdict = run.verdict.unwrap();
    assert_eq!(verdict.frozen_ms, Some(1_234));
    assert!(verdict.snapshots.iter().all(|one| one.consistency == Consistency::Application));
    for spelling in ["true", "True", "TRUE", " true "] {
        let tags = [("AppConsistent".to_owned(), spelling.to_owned())].into();
        assert_eq!(stillpoint_wire::vss::app_consistent(&tags), Some(true), "{spelling}");
    }
    let tags = [("AppConsistent".to_owned(), "False".to_owned())].into();
    assert_eq!(stillpoint_wire::vss::app_consistent(&tags), Some(false));
}

#[test]
fn vss_with_one_snapshot_unmarked_is_crash() {
    for mark in [None, Some(false)] {
        // The boot volume is quiesced by VSS as well, and counts as well.
        for marks in [[mark, Some(true), Some(true)], [Some(true), Some(true), mark]] {
            let answers = vec![sent(), succeeded(), found(Some(marked(marks)))];
            let expected = (Outcome::CompletedWithIssues, CRASH, Some(Code::VssNotConsistent));
            check(order(0, true), answers, expected);
        }
    }
}

#[test]
fn vss_that_left_out_a_volume_is_crash() {
    let mut part = marked([Some(true); 3]);
    part.snapshots.pop();
    let answers = vec![sent(), succeeded(), found(Some(part))];
    let expected = (Outcome::CompletedWithIssues, CRASH, Some(Code::VssIncomplete));
    let verdict = check(order(0, true), answers, expected).verdict.unwrap();
    assert!(verdict.cause.unwrap().text.contains("vol-wal (/dev/sdg)"));
    assert!(verdict.snapshots.iter().all(|one| one.consistency == Consistency::Application));
}

#[test]
fn vss_without_writers_is_what_was_asked_for_and_crash() {
    let mut order = order(0, true);
    let own = &mut order.script.as_mut().unwrap().parameters;
    own.insert("NoWriters".to_owned(), vec!["True".to_owned()]);
    let answers = vec![sent(), succeeded(), found(Some(marked([Some(true); 3])))];
    check(order, answers, (Outcome::Completed, CRASH, Some(Code::VssNoWriters)));
}

#[test]
fn vss_snapshots_that_only_the_document_names_are_the_set() {
    let named = || vss_end(StageResult::Ok, proof(0, set().snapshots), None);
    let expected = (Outcome::CompletedWithIssues, CRASH, Some(Code::VssNotConsistent));
    let run = check(order(3, true), vec![sent(), named(), found(None)], expected);
    assert_eq!(run.set.unwrap().snapshots.len(), 3);
    let mut part = marked([Some(true); 3]);
    part.snapshots.pop();
    let run = check(order(3, true), vec![sent(), named(), found(Some(part))], expected);
    assert_eq!(run.set.unwrap().snapshots.len(), 3, "each once");
}

#[test]
fn vss_that_was_skipped_is_crash_or_nothing() {
    let skipped = || vec![sent(), ends(StageResult::Failed, Code::NothingRan), found(None)];
    let mut answers = skipped();
    answers.push(Seen::Created(set(), CALL));
    let expected = (Outcome::CompletedWithIssues, CRASH, Some(Code::NothingRan));
    check(order(0, true), answers, expected);
    check(order(0, false), skipped(), (Outcome::Failed, None, Some(Code::NothingRan)));
}

#[test]
fn vss_that_failed_after_its_snapshots_is_adopted_as_crash() {
    for (result, code) in [
        (StageResult::Failed, Code::VssFailed),
        (StageResult::Failed, Code::VssNotConsistent),
        (StageResult::TimedOut, Code::VssTimedOut),
        (StageResult::Unknown, Code::VssUncertain),
        (StageResult::NotSent, Code::CommandUncertain),
    ] {
        for marks in [[Some(true); 3], [None; 3]] {
            let answers = vec![sent(), ends(result, code), found(Some(marked(marks)))];
            let expected = (Outcome::CompletedWithIssues, CRASH, Some(code));
            let run = check(order(3, true), answers, expected);
            assert_eq!(run.attempt, 1, "another attempt would be a second set");
            let verdict = run.verdict.unwrap();
            assert!(verdict.snapshots.iter().all(|one| one.consistency == Consistency::Crash));
        }
    }
}

#[test]
fn vss_that_made_nothing_is_retried() {
    let answers = vec![sent(), ends(StageResult::Failed, Code::VssFailed), found(None)];
    let (run, _) = tell(order(1, true), answers);
    assert_eq!(run.attempt, 2);
    assert_eq!(owed(&run), Owed::SendVss { execution_id: "id-2".to_owned() });
    assert!(stillpoint_run::record_first(&run), "what may make a set is on record first");
    assert!(run.set_uncertain);
}

#[test]
fn vss_that_made_nothing_is_crash_or_nothing() {
    for (result, code) in
        [(StageResult::Failed, Code::VssFailed), (StageResult::TimedOut, Code::VssTimedOut)]
    {
        let nothing = || vec![sent(), ends(result, code), found(None)];
        let mut answers = nothing();
        answers.push(Seen::Created(set(), CALL));
        let expected = (Outcome::CompletedWithIssues, CRASH, Some(code));
        check(order(0, true), answers, expected);
        check(order(0, false), nothing(), (Outcome::Failed, None, Some(code)));
    }
    // It ended well and made nothing all the same.
    let answers = vec![sent(), succeeded(), found(None)];
    check(order(0, false), answers, (Outcome::Failed, None, Some(Code::VssFailed)));
}

#[test]
fn vss_that_was_not_sent_needs_no_search() {
    let refused = || ends(StageResult::NotSent, Code::NotSent);
    let answers = vec![refused(), Seen::Created(set(), CALL)];
    check(order(0, true), answers, (Outcome::CompletedWithIssues, CRASH, Some(Code::NotSent)));
    check(order(0, false), vec![refused()], (Outcome::Failed, None, Some(Code::NotSent)));
}

#[test]
fn a_lost_vss_command_is_searched_for_before_anything_else() {
    let begin = Seen::Begin { next_execution_id: "id-2".to_owned(), now_ms: 9 };
    for lost in [Seen::SendLost, begin] {
        let (run, _) = tell(order(0, true), vec![lost.clone()]);
        assert_eq!(owed(&run), Owed::FindVss { execution_id: "id-1".to_owned() });
        let there = vec![lost.clone(), sent(), succeeded(), found(Some(marked([Some(true); 3])))];
        check(order(0, true), there, (Outcome::Completed, APPLICATION, None));
        // It was never there; that nothing was made is seen, not taken for granted.
        let never = ends(StageResult::NotSent, Code::CommandUncertain);
        let (run, _) = tell(order(0, true), vec![lost, never]);
        assert_eq!(owed(&run), Owed::FindSet);
    }
}

#[test]
fn a_vss_document_outlives_the_function_that_watched_it() {
    let (mut run, _) = tell(order(0, true), vec![sent()]);
    let watch = owed(&run);
    let execution_id = "id-1".to_owned();
    let command_id = "command".to_owned();
    assert_eq!(watch, Owed::WatchVss { execution_id, command_id, sent_ms: 5 });
    let begin = Seen::Begin { next_execution_id: "id-2".to_owned(), now_ms: 9 };
    for fact in decide(&run, &begin) {
        apply(&mut run, &fact);
    }
    assert_eq!(owed(&run), watch, "the next driver goes on");
    assert!(run.doubt.is_none());
}

#[test]
fn vss_that_may_still_run_is_failed_and_never_doubled() {
    for fallback in [true, false] {
        let answers = vec![sent(), ends(StageResult::Unknown, Code::VssUncertain), found(None)];
        check(order(3, fallback), answers, (Outcome::Failed, None, Some(Code::VssUncertain)));
    }
}
