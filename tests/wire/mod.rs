//! The serialized shapes: what goes over the wire comes back, what does not belong
//! there is refused with a reason, and nothing that arrives can make us panic.

mod vss;

use proptest::prelude::*;
use stillpoint_run::{Order, Run};
use stillpoint_wire::receipt::{HoldState, RECEIPT_VERSION, find};
use stillpoint_wire::{event, ids, ledger, tags, time};

use crate::run::order;

const RECEIPT: &str = r#"{"stillpoint":1,"stage":"post-script","executionId":"id","code":0,"state":"released","bootId":"b","hold":{"unbroken":true,"frozenAtMs":1,"releasedAtMs":9,"frozenMs":8,"deadlineMs":60000},"frozen":[{"mount":"/data","fs":"xfs","dev":"259:1","volumes":["vol-a"]}]}"#;

#[test]
fn the_last_receipt_of_an_output_counts() {
    let first = RECEIPT.replace("released", "held");
    let output = format!("INFO hello\n{first}\nWARN something\n  {RECEIPT}  \nbye\n");
    let receipt = find(&output).unwrap().unwrap();
    assert_eq!(receipt.state, HoldState::Released);
    assert_eq!(receipt.frozen[0].volumes, ["vol-a"]);
}

#[test]
fn an_output_without_a_receipt_is_none_and_a_broken_one_an_error() {
    assert_eq!(find("INFO: Freezing /data\n{\"some\":\"json\"}\n"), Ok(None));
    assert_eq!(find(""), Ok(None));
    let cut = &RECEIPT[..120];
    assert!(find(cut).unwrap_err().contains("cannot be read"));
    let newer = RECEIPT.replace("\"stillpoint\":1", "\"stillpoint\":2");
    let why = find(&newer).unwrap_err();
    assert!(why.contains("version 2") && why.contains(&RECEIPT_VERSION.to_string()), "{why}");
}

#[test]
fn a_receipt_of_a_newer_agent_with_more_fields_is_read() {
    let more = RECEIPT.replace("\"code\":0", "\"code\":0,\"invented\":{\"later\":[1]}");
    assert!(find(&more).unwrap().is_some());
}

#[test]
fn a_message_is_read_or_refused_with_its_reason() {
    let requested = event::RunRequested { version: 1, order: order() };
    let envelope = |detail: serde_json::Value| {
        serde_json::json!({"detail-type": event::RUN_REQUESTED, "source": "stillpoint",
            "detail": detail})
        .to_string()
    };
    let detail = serde_json::to_value(&requested).unwrap();
    assert_eq!(event::read_requested(&envelope(detail.clone())).unwrap(), order());

    let mut newer = detail.clone();
    newer["version"] = 2.into();
    let mut broken = detail;
    broken["order"]["volumes"][1]["sizeGib"] = "big".into();
    let other = r#"{"detail-type":"Something Else","detail":{}}"#.to_owned();
    for (body, words) in [
        ("hello".to_owned(), "not an EventBridge event"),
        (other, "found \"Something Else\""),
        (envelope(newer), "found Some(2), allowed 1"),
        (envelope(broken), "invalid type: string \"big\""),
    ] {
        let why = event::read_requested(&body).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_run_comes_back_from_the_ledger_and_a_foreign_body_does_not() {
    let run = Run::new(order(), 77);
    assert_eq!(ledger::read(&ledger::write(&run).unwrap()).unwrap(), run);
    assert!(ledger::read("{}").is_err());
    let newer = ledger::write(&run).unwrap().replace("\"version\":1", "\"version\":9");
    assert!(ledger::read(&newer).unwrap_err().contains("version 9"));
}

#[test]
fn ids_are_the_same_for_the_same_occasion_only() {
    let id = |instance: &str, time: &str| ids::run_id("policy-1", "Nightly", time, instance);
    assert_eq!(id("i-1", "t"), id("i-1", "t"));
    assert_ne!(id("i-1", "t"), id("i-2", "t"));
    assert_ne!(id("i-1", "t"), id("i-1", "u"));
    assert_ne!(ids::run_id("ab", "c", "", ""), ids::run_id("a", "bc", "", ""));
    let execution = |order: &Order, attempt| ids::execution_id(order, attempt);
    let first = order();
    assert_ne!(execution(&first, 1), execution(&first, 2));
    // One command for all instances of a firing, and never the same for two firings.
    let elsewhere = Order { instance_id: "i-2".into(), run_id: "run-2".into(), ..order() };
    assert_eq!(execution(&first, 1), execution(&elsewhere, 1));
    for other in [
        Order { policy_id: "policy-2".into(), ..order() },
        Order { schedule_name: "Weekly".into(), ..order() },
        Order { nominal_time: "2026-01-03T03:04:00Z".into(), ..order() },
    ] {
        assert_ne!(execution(&first, 1), execution(&other, 1));
    }
}

#[test]
fn our_tags_win_over_the_policys_and_fit_ec2() {
    let mut order = order();
    order.tags.insert(tags::RUN_ID.to_owned(), "forged".to_owned());
    order.tags.insert("Team".to_owned(), "db".to_owned());
    let at_creation = tags::at_creation(&order);
    assert_eq!(at_creation[tags::RUN_ID], "run-1");
    assert_eq!(at_creation["Team"], "db");
    assert_eq!(at_creation[tags::CONSISTENCY], "pending");
}

#[test]
fn times_are_written_in_utc_with_milliseconds() {
    assert_eq!(time::rfc3339(1_767_323_045_007), "2026-01-02T03:04:05.007Z");
    assert_eq!(time::rfc3339(u64::MAX), "1970-01-01T00:00:00.000Z");
}

proptest! {
    #[test]
    fn any_output_is_survived(output in ".{0,400}") {
        let _ = find(&output);
        let _ = event::read_requested(&output);
        let _ = ledger::read(&output);
    }

    #[test]
    fn any_damage_to_a_receipt_is_survived(at in 0..RECEIPT.len(), with in any::<char>()) {
        let damaged = RECEIPT.chars().enumerate().map(|(i, c)| if i == at { with } else { c });
        let _ = find(&damaged.collect::<String>());
    }

    #[test]
    fn execution_ids_have_the_form_that_dlms_documents_allow(policy in "[a-z0-9-]{1,30}", n in 1..9u32) {
        let id = ids::execution_id(&Order { policy_id: policy, ..order() }, n);
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        prop_assert_eq!(groups, [8, 4, 4, 4, 12]);
        prop_assert!(id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
        prop_assert_eq!(&id[14..15], "8");
    }
}
