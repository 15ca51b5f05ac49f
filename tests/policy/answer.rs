//! What the planner's function answers to a fleet that is too large for an answer.

use serde_json::{Value, json};
use stillpoint_planner::Answer;
use stillpoint_policy::Assumptions;
use stillpoint_run::{Order, Volume};

use super::estimate::{estimated, nightly};

/// Lambda's limit. Source: AWS Lambda Developer Guide, "Lambda quotas".
const LAMBDA_TAKES: usize = 6 * 1024 * 1024;

fn order(number: usize) -> Order {
    let volume = |at: usize| Volume {
        volume_id: format!("vol-{number:08x}{at:09x}"),
        device: format!("/dev/sd{at}"),
        boot: false,
        size_gib: 100,
    };
    let order = json!({
        "runId": format!("run-{number:020x}"), "policyId": "policy-1", "scheduleName": "Nightly",
        "nominalTime": "2027-01-15T08:00:00Z", "startBeforeMs": 1_800_000_000_000_u64,
        "instanceId": format!("i-{number:017x}"), "volumes": [],
    });
    let order: Order = serde_json::from_value(order).expect("an order");
    Order { volumes: (0..8).map(volume).collect(), ..order }
}

fn answer(runs: usize, left_out: usize) -> Answer {
    let reason = json!({ "instanceId": "i-0123456789abcdef0", "reason": "is not managed by SSM" });
    Answer {
        dry_run: false,
        policy_id: "policy-1".to_owned(),
        schedule_name: "Nightly".to_owned(),
        schedule_names: vec!["Nightly".to_owned()],
        nominal_time: "2027-01-15T08:00:00Z".to_owned(),
        enabled: true,
        runs: (0..runs).map(order).collect(),
        left_out: Value::Array(vec![reason; left_out]),
        warnings: vec![],
        next_firings: vec![],
        api_calls: json!({}),
        estimate: estimated(nightly(json!({ "Count": 7 })), 1, &Assumptions::default()),
    }
}

#[test]
fn a_fleet_that_is_too_large_for_an_answer_is_cut_and_that_is_said() {
    let cut = answer(10_000, 100_000).fitted();
    assert!(serde_json::to_vec(&cut).unwrap().len() < LAMBDA_TAKES);
    assert!(cut.runs.len() > 1_000, "{}", cut.runs.len());
    assert_eq!(cut.runs[0], order(0));
    let left_out = cut.left_out.as_array().unwrap().len();
    let said = [
        format!("runs: {} of 10000 are listed; all of them count", cut.runs.len()),
        format!("leftOut: {left_out} of 100000 are listed"),
    ];
    assert_eq!(cut.warnings, said);
}

#[test]
fn an_answer_that_fits_is_left_as_it_is() {
    let whole = answer(1_000, 1_000).fitted();
    assert_eq!((whole.runs.len(), whole.warnings.len()), (1_000, 0));
}
