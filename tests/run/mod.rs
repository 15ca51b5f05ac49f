//! One run as a pure state machine: the truth table row by row, and what a run does
//! with answers that do not belong to it.

mod truth_table;
mod vss_table;

use std::collections::BTreeMap;

use stillpoint_run::{
    Cause, Code, CommandEnd, CreateCall, Fact, Handler, Order, Owed, Proof, ProofState, Run,
    Script, Seen, SnapshotSet, SnapshotTaken, StageReport, StageResult, Volume, apply, decide,
    owed,
};

/// After every time that a test of the pure machine uses.
pub(crate) const START_BEFORE_MS: u64 = 10_000;

pub(crate) const CALL: CreateCall = CreateCall { started_ms: 1_000, ended_ms: 1_200 };

pub(crate) fn order() -> Order {
    let volume = |id: &str, device: &str, boot| Volume {
        volume_id: id.to_owned(),
        device: device.to_owned(),
        boot,
        size_gib: 8,
    };
    Order {
        run_id: "run-1".to_owned(),
        policy_id: "policy-1".to_owned(),
        schedule_name: "Nightly".to_owned(),
        nominal_time: "2026-01-02T03:04:00Z".to_owned(),
        start_before_ms: START_BEFORE_MS,
        instance_id: "i-1".to_owned(),
        volumes: vec![
            volume("vol-root", "/dev/xvda", true),
            volume("vol-data", "/dev/sdf", false),
            volume("vol-wal", "/dev/sdg", false),
        ],
        left_out: vec![],
        exclude_boot_volume: false,
        exclude_data_volume_ids: vec![],
        copy_tags: false,
        tags: BTreeMap::new(),
        script: Some(Script {
            document: "document".to_owned(),
            handler: Handler::PrePost,
            parameters: BTreeMap::new(),
            pre: true,
            post: true,
            timeout_secs: 10,
            retries: 0,
            fallback: true,
            skip: None,
        }),
        require_application: false,
    }
}

pub(crate) fn order_with(change: impl FnOnce(&mut Script)) -> Order {
    let mut order = order();
    change(order.script.as_mut().unwrap());
    order
}

pub(crate) fn set() -> SnapshotSet {
    let taken = |volume: &str| SnapshotTaken {
        snapshot_id: format!("snap-{volume}"),
        volume_id: volume.to_owned(),
        app_consistent: None,
    };
    SnapshotSet {
        snapshots: vec![taken("vol-root"), taken("vol-data"), taken("vol-wal")],
        adopted: false,
    }
}

pub(crate) fn receipt(state: ProofState) -> Proof {
    Proof::Receipt {
        state,
        execution_id: "id-1".to_owned(),
        boot_id: "boot".to_owned(),
        volumes: vec!["vol-data".to_owned(), "vol-wal".to_owned()],
        frozen_ms: Some(42),
        reason: String::new(),
    }
}

/// The end of a command. `exit` is its exit code, or none if it had none.
pub(crate) fn end(result: StageResult, exit: Option<i32>, proof: Proof) -> Seen {
    let cause = (result != StageResult::Ok).then(|| Cause::new(Code::PreFailed, "it failed"));
    let report = StageReport {
        result,
        execution_id: "id-1".to_owned(),
        command_id: Some("command".to_owned()),
        exit_code: exit,
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

pub(crate) fn ok(proof: Proof) -> Seen {
    end(StageResult::Ok, Some(0), proof)
}

pub(crate) fn exits(code: i32, proof: Proof) -> Seen {
    end(StageResult::Failed, Some(code), proof)
}

/// Tells a new run these answers, one after the other, and returns it with what it
/// owed before each.
pub(crate) fn tell(order: Order, answers: Vec<Seen>) -> (Run, Vec<Owed>) {
    let mut run = Run::new(order, 0);
    let mut owed_before = vec![];
    let begin = Seen::Begin { next_execution_id: "id-1".to_owned(), now_ms: 0 };
    for seen in std::iter::once(begin).chain(answers) {
        owed_before.push(owed(&run));
        for fact in decide(&run, &seen) {
            apply(&mut run, &fact);
        }
    }
    (run, owed_before)
}

#[test]
fn a_thaw_is_owed_before_the_pre_script_is_sent() {
    let (run, _) = tell(order(), vec![]);
    assert_eq!(run.thaw_owed.as_deref(), Some("id-1"));
    assert!(stillpoint_run::record_first(&run), "and is on record");
}

#[test]
fn an_answer_that_does_not_belong_to_the_phase_changes_nothing() {
    let answers = [
        ok(receipt(ProofState::Held)),
        Seen::Created(set(), CALL),
        Seen::CreateLost { why: "x".to_owned(), call: CALL },
        Seen::Found { set: Some(set()), next_execution_id: "id-9".to_owned() },
        Seen::Reported,
    ];
    let (fresh, _) = tell(order(), vec![]);
    // In PreScript only the script's end and a new driver mean something.
    for late in &answers[1..] {
        assert!(decide(&fresh, late).is_empty(), "{late:?}");
    }
    let (done, _) = tell(
        order(),
        vec![
            ok(receipt(ProofState::Held)),
            Seen::Created(set(), CALL),
            ok(receipt(ProofState::ReleasedUnbroken)),
            Seen::Reported,
        ],
    );
    assert_eq!(owed(&done), Owed::Nothing);
    for late in &answers {
        assert!(decide(&done, late).is_empty(), "{late:?}");
    }
}

#[test]
fn waiting_for_a_throttled_call_never_happens_while_something_is_held() {
    let throttled = || Seen::CreateRefused {
        cause: Cause::new(Code::CreateThrottled, "RequestLimitExceeded"),
        call: CALL,
    };
    let (held, _) = tell(order(), vec![ok(receipt(ProofState::Held)), throttled()]);
    assert!(matches!(owed(&held), Owed::Command { .. }), "the post-script comes first");
    let mut no_script = order();
    no_script.script = None;
    let (free, _) = tell(no_script.clone(), vec![throttled(), throttled()]);
    assert_eq!(owed(&free), Owed::CreateSnapshots { wait_ms: 4_000 });
    let (given_up, _) = tell(no_script, vec![throttled(); 6]);
    assert!(given_up.verdict.is_some(), "and it ends");
}

#[test]
fn a_request_that_lay_in_a_queue_for_days_touches_nothing() {
    let run = Run::new(order(), 0);
    let at = |now_ms| Seen::Begin { next_execution_id: "id-1".to_owned(), now_ms };
    let facts = decide(&run, &at(START_BEFORE_MS + 90_000));
    let [Fact::Judged(verdict)] = &facts[..] else { panic!("{facts:?}") };
    let cause = verdict.cause.as_ref().unwrap();
    assert_eq!(cause.code, Code::TooLate);
    assert!(cause.text.contains("90 s after"), "{cause}");
    assert!(matches!(decide(&run, &at(START_BEFORE_MS))[..], [Fact::AttemptStarted { .. }]));
}

#[test]
fn a_post_script_that_may_have_overtaken_its_pre_script_is_sent_again() {
    let unknown = end(StageResult::Unknown, None, Proof::None);
    let (run, owed_before) = tell(order(), vec![unknown, exits(205, Proof::None)]);
    assert!(matches!(
        owed_before.last(),
        Some(Owed::Command { stage: stillpoint_run::Stage::Post, .. })
    ));
    assert!(run.thaw_owed.is_some(), "the instance may freeze yet");
    assert!(matches!(owed(&run), Owed::Command { stage: stillpoint_run::Stage::Post, .. }));
    let not_before_ms = stillpoint_run::not_before_ms(&run);
    assert!(not_before_ms > 30_000, "once Systems Manager cannot deliver it: {not_before_ms}");
}
