//! Blackout windows and the start window: when no run begins.

use serde_json::{Value, json};
use stillpoint_policy::{Firing, Inventory, Plan, plan};

use super::world::{instance, reasons, scheduled};
use super::{base, policy};

fn fired(settings: &Value, nominal: &str) -> Plan {
    let mut document = base();
    document["Stillpoint"] = settings.clone();
    let firing = Firing {
        nominal: nominal.into(),
        fired_at: "2026-03-14T03:00:00Z".parse().expect("a time"),
        ..scheduled()
    };
    let inventory = Inventory { instances: vec![instance("i-1")] };
    plan(&policy(&document), &firing, &inventory).expect("a plan")
}

fn ms(time: &str) -> u64 {
    let time: jiff::Timestamp = time.parse().expect("a time");
    u64::try_from(time.as_millisecond()).expect("after 1970")
}

#[test]
fn no_scheduled_run_begins_in_a_window() {
    let weekend = json!({"BlackoutWindows": [{"Days": ["SAT"], "From": "02:30", "To": "03:30"}]});
    let plan = fired(&weekend, "2026-03-14T03:00:00Z");
    assert!(plan.runs.is_empty());
    assert_eq!(
        reasons(&plan.left_out),
        [("i-1", "the firing is in a blackout window: Saturday 02:30 to 03:30")]
    );
    let next: Vec<&str> = plan.next_firings.iter().map(|firing| firing.at.as_str()).collect();
    assert_eq!(
        next[..2],
        ["2026-03-15T03:00:00Z", "2026-03-15T05:00:00Z"],
        "and the next Saturday is not among them"
    );
    assert!(!next.contains(&"2026-03-21T03:00:00Z"));
    assert_eq!(fired(&weekend, "2026-03-15T03:00:00Z").runs.len(), 1);
}

#[test]
fn on_demand_a_person_has_decided() {
    let always = json!({"BlackoutWindows": [{"From": "00:00", "To": "12:00"}]});
    let plan = fired(&always, "on-demand:1");
    assert_eq!(plan.runs.len(), 1);
    assert_eq!(plan.start_before_ms, ms("2026-03-14T04:00:00Z"));
    assert_eq!(
        plan.warnings,
        ["it is a blackout window now: daily 00:00 to 12:00; a run on demand begins all the same"]
    );
}

#[test]
fn edges_belong_to_the_window_as_they_are_written() {
    let runs = |window: Value, nominal: &str| {
        fired(&json!({"BlackoutWindows": [window]}), nominal).runs.len()
    };
    let once = json!({"From": "2026-03-14T03:00", "To": "2026-03-15T03:00"});
    assert_eq!(runs(once.clone(), "2026-03-14T02:59:00Z"), 1);
    assert_eq!(runs(once.clone(), "2026-03-14T03:00:00Z"), 0);
    assert_eq!(runs(once.clone(), "2026-03-15T02:59:00Z"), 0);
    assert_eq!(runs(once, "2026-03-15T03:00:00Z"), 1);
    // From Saturday evening into Sunday, and not from Friday.
    let night = json!({"Days": ["SAT"], "From": "22:00", "To": "04:00"});
    assert_eq!(runs(night.clone(), "2026-03-14T03:00:00Z"), 1);
    assert_eq!(runs(night.clone(), "2026-03-14T22:00:00Z"), 0);
    assert_eq!(runs(night.clone(), "2026-03-15T03:59:00Z"), 0);
    assert_eq!(runs(night, "2026-03-15T04:00:00Z"), 1);
}

#[test]
fn windows_are_read_by_the_clock_of_the_zone() {
    let berlin = json!({"TimeZone": "Europe/Berlin",
                        "BlackoutWindows": [{"From": "04:00", "To": "05:00"}]});
    assert_eq!(fired(&berlin, "2026-03-14T03:00:00Z").runs.len(), 0);
    assert_eq!(fired(&berlin, "2026-03-14T04:00:00Z").runs.len(), 1);
    // One hour earlier in summer.
    assert_eq!(fired(&berlin, "2026-04-14T02:00:00Z").runs.len(), 0);
}

#[test]
fn a_run_begins_in_its_start_window_and_before_a_blackout() {
    let nominal = "2026-03-14T03:00:00Z";
    let before = |settings: Value| fired(&settings, nominal).start_before_ms;
    assert_eq!(before(json!({})), ms("2026-03-14T04:00:00Z"));
    assert_eq!(before(json!({"StartWithinMinutes": 15})), ms("2026-03-14T03:15:00Z"));
    let window = json!([{"From": "03:20", "To": "06:00"}]);
    assert_eq!(before(json!({"BlackoutWindows": window})), ms("2026-03-14T03:20:00Z"));
    let later = json!([{"From": "04:00", "To": "06:00"}, {"From": "2026-03-14T03:40",
                                                           "To": "2026-03-14T03:41"}]);
    assert_eq!(before(json!({"BlackoutWindows": later})), ms("2026-03-14T03:40:00Z"));
}

#[test]
fn windows_that_never_end_leave_no_firings() {
    let mut document = base();
    document["Stillpoint"] = json!({"BlackoutWindows": [{"From": "00:00", "To": "12:00"}]});
    let policy = policy(&document);
    assert!(policy.next_firings("2026-03-14T03:00:00Z".parse().expect("a time"), 5).is_empty());
}
