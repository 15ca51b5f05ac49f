//! `Pre Post Script Notification`: one a stage that ran, before the run's own event, with DLM's
//! fields.

use serde_json::Value;
use stillpoint_wire::notification::SCRIPT_NOTIFICATION;

use super::world::{Document, World};
use super::{deliver, order};

/// Stage, result, cause, timeout time, number of snapshots.
type Told = (String, String, String, String, usize);

fn told(document: Document) -> Vec<Told> {
    let world = World::new(document);
    deliver(&world, &order(0, true));
    let state = world.state.lock().unwrap();
    let last = state.calls.iter().rposition(|call| *call == "publish").unwrap();
    let published = state.calls[..=last].iter().filter(|call| **call == "publish").count();
    assert_eq!(published, state.notified.len() + 1, "and then the run's own");
    state
        .notified
        .iter()
        .map(|(kind, detail)| {
            assert_eq!(kind, SCRIPT_NOTIFICATION);
            let detail: Value = serde_json::from_str(detail).unwrap();
            let text = |name: &str| detail[name].as_str().unwrap().to_owned();
            assert_eq!(text("policy_id"), "policy-1");
            assert_eq!(text("source"), "i-1");
            assert_eq!(text("resource_type"), "EBS_SNAPSHOT");
            assert_eq!(text("execution_handler"), "Stillpoint-Filesystem");
            assert_eq!(detail.as_object().unwrap().len(), 12, "DLM's fields and no others");
            let resources = detail["resources"].as_array().unwrap();
            assert!(resources.iter().all(|one| one["status"] == "pending"));
            let [stage, result, cause, timeout] =
                ["script_stage", "result", "cause", "timeout_time"].map(text);
            (stage, result, cause, timeout, resources.len())
        })
        .collect()
}

#[test]
fn both_stages_of_a_good_run_are_told_as_success() {
    let told = told(Document::Agent);
    let expected = ["PRE", "POST"]
        .map(|stage| (stage.to_owned(), "success".to_owned(), String::new(), String::new(), 2));
    assert_eq!(told, expected);
}

#[test]
fn a_stage_that_fails_is_told_with_its_cause() {
    let pre = told(Document::PreFails);
    assert_eq!((pre[0].0.as_str(), pre[0].1.as_str()), ("PRE", "failed"));
    assert!(!pre[0].2.is_empty() && pre[0].3.is_empty(), "{pre:?}");
    let post = told(Document::PostFails);
    assert_eq!((post[1].0.as_str(), post[1].1.as_str()), ("POST", "failed"));
    assert!(!post[1].2.is_empty(), "{post:?}");
}

#[test]
fn a_stage_that_hangs_is_told_with_the_time_when_its_time_was_over() {
    let hung = told(Document::PreHangs);
    assert_eq!((hung[0].0.as_str(), hung[0].1.as_str()), ("PRE", "failed"));
    assert!(hung[0].3.ends_with('Z'), "{hung:?}");
}
