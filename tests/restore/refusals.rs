//! What is asked for and refused, each kind with its code, before anything is touched.

use stillpoint_restore::{RefusalCode, Refused};
use stillpoint_upkeep::jobs::prepare::prepare;
use stillpoint_upkeep::jobs::{Becomes, Request};
use stillpoint_wire::tags;

use super::cloud::Cloud;
use crate::trouble::alive;

/// The account of the tests, whose snapshots have all that a restore needs of them.
fn cloud() -> Cloud {
    let cloud = Cloud::new();
    cloud.with(|state| {
        for (one, of) in state.snapshots.iter_mut().zip(super::set().snapshots) {
            one.tags.insert(tags::DEVICE.into(), of.device);
            one.tags.insert(tags::INSTANCE_ID.into(), "i-source".into());
        }
    });
    cloud
}

fn of_run(run: &str) -> Request {
    let (run_id, zone) = (Some(run.to_owned()), "us-east-1a".to_owned());
    Request { run_id, zone, ..Request::default() }
}

fn drill_of_policy() -> Request {
    Request {
        policy_id: Some("nightly".into()),
        host_instance_id: "i-host".into(),
        into: Becomes::Drill,
        ..Request::default()
    }
}

fn refused(cloud: &Cloud, request: &Request) -> Refused {
    let prepared = alive(prepare(cloud, request, "request")).expect("it waits");
    let refused = Refused::from(prepared.expect_err("a refusal"));
    let changes = ["create_volume", "label", "send", "save_job"];
    cloud.with(|state| assert!(!state.calls.iter().any(|one| changes.contains(&one.as_str()))));
    refused
}

#[test]
fn each_refusal_has_its_code_and_names_what_is_wrong() {
    assert!(alive(prepare(&cloud(), &of_run("run-1"), "request")).unwrap().is_ok());
    assert!(alive(prepare(&cloud(), &drill_of_policy(), "request")).unwrap().is_ok());
    let no_zone = Request { zone: String::new(), ..of_run("run-1") };
    let undo = Request { undo: Some("restore-x".into()), ..Request::default() };
    for (request, code, words) in [
        (Request::default(), RefusalCode::Request, "runId, instanceId, policyId: found none"),
        (no_zone, RefusalCode::Request, "zone: found nothing, allowed"),
        (of_run("run-9"), RefusalCode::NoSet, "run-9"),
        (undo, RefusalCode::NoWayBack, "undo: found restore-x"),
    ] {
        let refused = refused(&cloud(), &request);
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.to_string().starts_with(code.as_str()), "{refused}");
        assert!(refused.lines[0].contains(words), "{refused}");
    }
}

#[test]
fn what_the_account_has_not_is_refused_with_its_code() {
    let unusable = cloud();
    unusable.with(|state| state.snapshots[1].state = "pending".into());
    assert_eq!(refused(&unusable, &of_run("run-1")).code, RefusalCode::Unusable);
    let drilled = cloud();
    drilled.with(|state| {
        let passed = "passed 2026-01-02T03:04:05.000Z".to_owned();
        state.snapshots[0].tags.insert(tags::DRILL.into(), passed);
    });
    assert_eq!(refused(&drilled, &drill_of_policy()).code, RefusalCode::AllDrilled);
    let silent = cloud();
    silent.refuse("snapshots", 1);
    assert_eq!(refused(&silent, &of_run("run-1")).code, RefusalCode::NotAnswered);
}
