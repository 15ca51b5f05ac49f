//! The truth table of a run, a test a row. The columns: what the pre-script came to,
//! what CreateSnapshots answered, what the post-script came to; then outcome,
//! consistency and code.

use stillpoint_run::{
    Cause, Code, Consistency, Order, Outcome, Owed, Proof, ProofState, Seen, Stage, StageResult,
};

use super::{CALL, end, exits, ok, order, order_with, receipt, set, tell};

const HELD: ProofState = ProofState::Held;
const RELEASED: ProofState = ProofState::ReleasedUnbroken;

type Expected = (Outcome, Option<Consistency>, Option<Code>);

fn check(order: Order, answers: Vec<Seen>, expected: Expected) -> stillpoint_run::Run {
    let (run, _) = tell(order, answers);
    let verdict = run.verdict.clone().expect("a verdict");
    let code = verdict.cause.as_ref().map(|cause| cause.code);
    assert_eq!((verdict.outcome, verdict.consistency, code), expected, "{verdict:#?}");
    run
}

fn created() -> Seen {
    Seen::Created(set(), CALL)
}

fn refused(code: Code) -> Seen {
    Seen::CreateRefused { cause: Cause::new(code, "EC2 says no"), call: CALL }
}

fn lost() -> Seen {
    Seen::CreateLost { why: "no answer".to_owned(), call: CALL }
}

fn found(set: Option<stillpoint_run::SnapshotSet>) -> Seen {
    Seen::Found { set, next_execution_id: "id-2".to_owned() }
}

fn adopted() -> stillpoint_run::SnapshotSet {
    stillpoint_run::SnapshotSet { adopted: true, ..set() }
}

const CRASH: Option<Consistency> = Some(Consistency::Crash);

#[test]
fn ok_ok_released_unbroken_is_application() {
    let answers = vec![ok(receipt(HELD)), created(), ok(receipt(RELEASED))];
    let run = check(order(), answers, (Outcome::Completed, Some(Consistency::Application), None));
    let verdict = run.verdict.unwrap();
    assert_eq!(verdict.frozen_ms, Some(42));
    assert!(!verdict.thaw_unconfirmed);
    let of = |volume: &str| {
        let one = verdict.snapshots.iter().find(|one| one.volume_id == volume).unwrap();
        one.consistency
    };
    assert_eq!(of("vol-data"), Consistency::Application);
    assert_eq!(of("vol-root"), Consistency::Crash, "the boot volume was not frozen");
}

#[test]
fn a_data_volume_that_was_not_frozen_makes_the_set_crash() {
    let mut only_data = receipt(RELEASED);
    if let Proof::Receipt { volumes, .. } = &mut only_data {
        volumes.retain(|volume| volume == "vol-data");
    }
    check(
        order(),
        vec![ok(receipt(HELD)), created(), ok(only_data)],
        (Outcome::CompletedWithIssues, CRASH, Some(Code::VolumeNotHeld)),
    );
}

#[test]
fn ok_ok_without_receipts_is_claimed() {
    check(
        order(),
        vec![ok(Proof::None), created(), ok(Proof::None)],
        (Outcome::Completed, Some(Consistency::Claimed), Some(Code::NoReceipt)),
    );
}

#[test]
fn steps_that_were_skipped_are_not_even_claimed() {
    for (pre, post) in [(Proof::None, Proof::Skipped), (Proof::Skipped, Proof::Skipped)] {
        check(
            order(),
            vec![ok(pre), created(), ok(post)],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::NothingRan)),
        );
    }
}

#[test]
fn a_receipt_on_one_side_only_proves_nothing() {
    for (pre, post) in [(receipt(HELD), Proof::None), (Proof::None, receipt(RELEASED))] {
        check(
            order(),
            vec![ok(pre), created(), ok(post)],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::HoldBroken)),
        );
    }
}

#[test]
fn receipts_of_two_holds_prove_nothing() {
    let other_boot = Proof::Receipt {
        state: RELEASED,
        execution_id: "id-1".to_owned(),
        boot_id: "another".to_owned(),
        volumes: vec!["vol-data".to_owned(), "vol-wal".to_owned()],
        frozen_ms: None,
        reason: String::new(),
    };
    let mut other_id = receipt(RELEASED);
    if let Proof::Receipt { execution_id, .. } = &mut other_id {
        "id-7".clone_into(execution_id);
    }
    for post in [other_boot, other_id] {
        check(
            order(),
            vec![ok(receipt(HELD)), created(), ok(post)],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::HoldBroken)),
        );
    }
}

#[test]
fn an_unreadable_receipt_proves_nothing() {
    let garbage = Proof::Unreadable { why: "no brace".to_owned() };
    check(
        order(),
        vec![ok(garbage), created(), ok(receipt(RELEASED))],
        (Outcome::CompletedWithIssues, CRASH, Some(Code::ReceiptUnreadable)),
    );
}

#[test]
fn auto_thaw_before_the_post_script_is_crash() {
    for post in [exits(203, receipt(ProofState::AutoThawed)), exits(203, Proof::None)] {
        let pre = if matches!(&post, Seen::Script { end, .. } if end.report.proof == Proof::None) {
            Proof::None
        } else {
            receipt(HELD)
        };
        check(
            order(),
            vec![ok(pre), created(), post],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::AutoThawed)),
        );
    }
}

#[test]
fn a_broken_hold_is_crash_whatever_the_exit_code() {
    for post in [exits(203, receipt(ProofState::Broken)), ok(receipt(ProofState::Broken))] {
        check(
            order(),
            vec![ok(receipt(HELD)), created(), post],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::HoldBroken)),
        );
    }
}

#[test]
fn a_failing_post_script_leaves_the_thaw_unconfirmed() {
    for post in [exits(202, Proof::None), end(StageResult::TimedOut, None, Proof::None)] {
        let run = check(
            order(),
            vec![ok(receipt(HELD)), created(), post],
            (Outcome::CompletedWithIssues, CRASH, Some(Code::ThawUnconfirmed)),
        );
        assert!(run.verdict.unwrap().thaw_unconfirmed);
        assert!(run.thaw_owed.is_some(), "it stays owed");
    }
}

#[test]
fn a_later_receipt_still_proves_the_hold() {
    let order = order_with(|script| script.retries = 1);
    let answers = vec![
        ok(receipt(HELD)),
        created(),
        end(StageResult::TimedOut, None, Proof::None),
        exits(205, receipt(RELEASED)),
    ];
    check(order, answers, (Outcome::Completed, Some(Consistency::Application), None));
}

#[test]
fn only_the_post_script_is_repeated_when_it_fails() {
    let order = order_with(|script| script.retries = 2);
    let failed = || exits(202, Proof::None);
    let (_, owed) =
        tell(order, vec![ok(receipt(HELD)), created(), failed(), failed(), ok(receipt(RELEASED))]);
    let stages: Vec<_> = owed
        .iter()
        .filter_map(|one| match one {
            Owed::Command { stage, .. } => Some(*stage),
            _ => None,
        })
        .collect();
    assert_eq!(stages, [Stage::Pre, Stage::Post, Stage::Post, Stage::Post]);
}

#[test]
fn refused_for_good_is_failed_after_the_release() {
    let answers = vec![ok(receipt(HELD)), refused(Code::CreateRefused), ok(receipt(RELEASED))];
    let run = check(order(), answers, (Outcome::Failed, None, Some(Code::CreateRefused)));
    assert!(run.thaw_owed.is_none());
}

#[test]
fn throttled_is_retried_whole_then_made_without_a_hold() {
    // Two such windows are repeated although the policy allows no retries: it is not the
    // script that failed.
    let window = || [ok(receipt(HELD)), refused(Code::CreateThrottled), ok(receipt(RELEASED))];
    let answers = (0..3).flat_map(|_| window()).chain([created()]).collect();
    check(order(), answers, (Outcome::CompletedWithIssues, CRASH, Some(Code::CreateThrottled)));
}

#[test]
fn a_lost_reply_is_adopted_by_its_tag() {
    let answers = vec![ok(receipt(HELD)), lost(), ok(receipt(RELEASED)), found(Some(adopted()))];
    check(order(), answers, (Outcome::CompletedWithIssues, CRASH, Some(Code::ReplyLost)));
}

#[test]
fn a_lost_reply_without_a_set_is_failed_and_never_sent_again() {
    for fallback in [true, false] {
        let order = order_with(|script| {
            script.fallback = fallback;
            script.retries = 3;
        });
        let answers = vec![ok(receipt(HELD)), lost(), ok(receipt(RELEASED)), found(None)];
        check(order, answers, (Outcome::Failed, None, Some(Code::ReplyLost)));
    }
}

#[test]
fn a_failed_pre_script_is_followed_by_a_post_script_and_a_new_attempt() {
    let order = order_with(|script| script.retries = 1);
    let answers = vec![
        exits(201, receipt(ProofState::NoHold)),
        exits(205, receipt(ProofState::NoHold)),
        ok(receipt(HELD)),
    ];
    let (run, owed) = tell(order, answers);
    assert_eq!(run.attempt, 2);
    assert_eq!(run.thaw_owed.as_deref(), Some("id-2"), "under a new execution id");
    assert!(
        matches!(&owed[2], Owed::Command { stage: Stage::Post, execution_id } if execution_id == "id-1")
    );
}

#[test]
fn failed_for_good_is_crash_if_fallback_is_allowed() {
    let released = || vec![exits(205, Proof::None)];
    // Nobody knows whether it was sent, so the first post-script may have overtaken it.
    let unknown = vec![exits(205, Proof::None), later(exits(205, Proof::None))];
    for (pre, post) in [
        (exits(201, Proof::None), released()),
        (end(StageResult::TimedOut, None, Proof::None), released()),
        (end(StageResult::Unknown, None, Proof::None), unknown),
    ] {
        let answers = || [vec![pre.clone()], post.clone()].concat();
        let mut with_fallback = answers();
        with_fallback.push(created());
        check(order(), with_fallback, (Outcome::CompletedWithIssues, CRASH, Some(Code::PreFailed)));
        let strict = order_with(|script| script.fallback = false);
        check(strict, answers(), (Outcome::Failed, None, Some(Code::PreFailed)));
    }
}

/// The same answer, of a command that was sent when no other can still be on its way.
fn later(seen: Seen) -> Seen {
    let Seen::Script { mut end, next_execution_id } = seen else { return seen };
    end.report.started_ms = 3_600_000;
    end.report.ended_ms = 3_600_001;
    Seen::Script { end, next_execution_id }
}

#[test]
fn a_command_that_was_never_sent_owes_no_thaw() {
    let answers = vec![end(StageResult::NotSent, None, Proof::None)];
    let (run, _) = tell(order(), answers);
    assert!(run.thaw_owed.is_none());
    assert_eq!(stillpoint_run::owed(&run), Owed::CreateSnapshots { wait_ms: 0 });
}

#[test]
fn a_skipped_script_is_crash_or_nothing() {
    let skipped = |fallback| {
        order_with(|script| {
            script.skip = Some("not managed by Systems Manager".to_owned());
            script.fallback = fallback;
        })
    };
    check(
        skipped(true),
        vec![created()],
        (Outcome::CompletedWithIssues, CRASH, Some(Code::ScriptSkipped)),
    );
    check(skipped(false), vec![], (Outcome::Failed, None, Some(Code::ScriptSkipped)));
}

#[test]
fn no_script_is_completed_and_crash() {
    let mut plain = order();
    plain.script = None;
    check(plain, vec![created()], (Outcome::Completed, CRASH, Some(Code::NoScript)));
}

#[test]
fn one_stage_alone_proves_nothing() {
    let pre_only = order_with(|script| script.post = false);
    check(
        pre_only,
        vec![ok(Proof::None), created()],
        (Outcome::CompletedWithIssues, CRASH, Some(Code::OneStageOnly)),
    );
    let post_only = order_with(|script| script.pre = false);
    check(
        post_only,
        vec![created(), ok(Proof::None)],
        (Outcome::CompletedWithIssues, CRASH, Some(Code::OneStageOnly)),
    );
}

#[test]
fn pre_only_with_a_proven_hold_is_released_all_the_same() {
    let pre_only = order_with(|script| script.post = false);
    let (run, _) = tell(pre_only, vec![ok(receipt(HELD)), created()]);
    assert!(matches!(stillpoint_run::owed(&run), Owed::Command { stage: Stage::Post, .. }));
}

#[test]
fn an_interrupted_attempt_is_released_and_its_set_adopted_as_crash() {
    let begin = || Seen::Begin { next_execution_id: "id-2".to_owned(), now_ms: 5 };
    let answers = vec![begin(), ok(receipt(RELEASED)), found(Some(adopted()))];
    check(order(), answers, (Outcome::CompletedWithIssues, CRASH, Some(Code::Interrupted)));
    let answers = vec![begin(), ok(receipt(RELEASED)), found(None), created()];
    check(order(), answers, (Outcome::CompletedWithIssues, CRASH, Some(Code::Interrupted)));
}

#[test]
fn a_policy_that_requires_proof_fails_without_it() {
    let mut strict = order();
    strict.require_application = true;
    let proven = vec![ok(receipt(HELD)), created(), ok(receipt(RELEASED))];
    check(strict.clone(), proven, (Outcome::Completed, Some(Consistency::Application), None));
    let claimed = vec![ok(Proof::None), created(), ok(Proof::None)];
    let expected = (Outcome::Failed, Some(Consistency::Claimed), Some(Code::NoReceipt));
    let run = check(strict, claimed, expected);
    assert!(run.set.is_some(), "the set stays");
}
