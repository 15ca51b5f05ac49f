//! Which instances a plan is about, and why others are left out.

use serde_json::json;
use stillpoint_policy::{Firing, Inventory, Plan, plan};

use super::world::{NOMINAL, instance, planned, reasons, scheduled, tags};
use super::{ID, base, changed, policy};

fn ids(plan: &Plan) -> Vec<&str> {
    plan.runs.iter().map(|run| run.instance_id.as_str()).collect()
}

#[test]
fn any_of_the_target_tags_selects_and_only_exactly() {
    let with = |id: &str, pairs: &[(&str, &str)]| {
        let mut instance = instance(id);
        instance.tags = tags(pairs);
        instance
    };
    let plan = planned(vec![
        with("i-6", &[]),
        with("i-2", &[("Tier", "db")]),
        with("i-1", &[("Backup", "yes"), ("Tier", "web")]),
        with("i-3", &[("Backup", "no"), ("Tier", "web")]),
        with("i-4", &[("backup", "yes")]),
        with("i-5", &[("Backup", "Yes")]),
    ]);
    assert_eq!(ids(&plan), ["i-1", "i-2"]);
    assert_eq!(reasons(&plan.left_out), []);
}

#[test]
fn a_star_in_a_target_tag_is_a_star() {
    let tag = json!([{"Key": "Backup", "Value": "y*"}]);
    let policy = policy(&changed(&[("/TargetTags", Some(tag))]));
    let mut star = instance("i-2");
    star.tags = tags(&[("Backup", "y*")]);
    let inventory = Inventory { instances: vec![instance("i-1"), star] };
    assert_eq!(ids(&plan(&policy, &scheduled(), &inventory).expect("a plan")), ["i-2"]);
}

#[test]
fn an_instance_that_was_described_twice_runs_once() {
    assert_eq!(ids(&planned(vec![instance("i-1"), instance("i-1")])), ["i-1"]);
}

#[test]
fn no_target_at_all_is_said() {
    let plan = planned(vec![]);
    assert_eq!(plan.warnings, ["no instance has any of the policy's target tags"]);
    assert!(plan.runs.is_empty() && plan.left_out.is_empty() && plan.api_calls.is_empty());
}

#[test]
fn states_decide() {
    let in_state = |id: &str, state: &str| {
        let mut instance = instance(id);
        instance.state = state.into();
        instance
    };
    let plan = planned(vec![
        in_state("i-1", "running"),
        in_state("i-2", "stopped"),
        in_state("i-3", "stopping"),
        in_state("i-4", "pending"),
        in_state("i-5", "shutting-down"),
        in_state("i-6", "terminated"),
        in_state("i-7", "dreaming"),
    ]);
    assert_eq!(ids(&plan), ["i-1", "i-2", "i-3"]);
    assert_eq!(
        reasons(&plan.left_out),
        [
            ("i-4", "the instance is pending"),
            ("i-5", "the instance is shutting-down"),
            ("i-6", "the instance is terminated"),
            ("i-7", "the instance is in a state that is not known: dreaming"),
        ]
    );
}

#[test]
fn asking_for_instances_narrows_and_each_id_has_an_answer() {
    let mut other = instance("i-3");
    other.tags = tags(&[("Backup", "no")]);
    let mut starting = instance("i-4");
    starting.state = "pending".into();
    let instances = vec![instance("i-1"), instance("i-2"), other, starting];
    let inventory = Inventory { instances };
    let asked = ["i-9", "i-3", "i-4", "i-2", "i-2"].map(str::to_owned).to_vec();
    let firing = Firing { instance_ids: Some(asked), ..scheduled() };
    let narrowed = plan(&policy(&base()), &firing, &inventory).expect("a plan");
    assert_eq!(ids(&narrowed), ["i-2"]);
    assert_eq!(
        reasons(&narrowed.left_out),
        [
            ("i-3", "it has none of the policy's target tags"),
            ("i-4", "the instance is pending"),
            ("i-9", "no such instance in this account and Region"),
        ]
    );
    let firing = Firing { instance_ids: Some(vec![]), ..scheduled() };
    let nothing = plan(&policy(&base()), &firing, &inventory).expect("a plan");
    assert!(nothing.runs.is_empty() && nothing.left_out.is_empty());
    assert_eq!(nothing.warnings, ["instanceIds is an empty list: nothing is asked for"]);
}

#[test]
fn a_policy_that_is_not_enabled_starts_nothing_and_says_why() {
    for (state, message) in [("DISABLED", ""), ("ERROR", " (Role has no permissions)")] {
        let document = json!({"PolicyId": ID, "State": state, "PolicyDetails": base(),
            "StatusMessage": if message.is_empty() { "" } else { "Role has no permissions" }});
        let inventory = Inventory { instances: vec![instance("i-1")] };
        let plan = plan(&policy(&document), &scheduled(), &inventory).expect("a plan");
        assert!(!plan.enabled && plan.runs.is_empty());
        let reason = format!("the policy's State is {state}");
        assert_eq!(reasons(&plan.left_out), [("i-1", reason.as_str())]);
        assert_eq!(plan.warnings, [format!("{reason}{message}: it starts no runs")]);
        assert!(plan.next_firings.is_empty());
    }
}

#[test]
fn a_firing_names_its_schedule_and_its_time() {
    let policy = policy(&base());
    let inventory = Inventory { instances: vec![instance("i-1")] };
    let fire = |schedule: Option<&str>, nominal: &str| {
        let firing = Firing {
            schedule: schedule.map(str::to_owned),
            nominal: nominal.into(),
            ..scheduled()
        };
        plan(&policy, &firing, &inventory).map_err(|error| error.to_string())
    };
    let first = fire(None, NOMINAL).expect("a plan");
    assert_eq!((first.schedule_name.as_str(), first.nominal.as_str()), ("nightly", NOMINAL));
    assert_eq!(first.policy_id, ID);
    let next: Vec<(&str, &str)> = first
        .next_firings
        .iter()
        .map(|firing| (firing.at.as_str(), firing.schedules[0].as_str()))
        .collect();
    assert_eq!(
        next,
        [
            ("2026-03-11T03:00:00Z", "nightly"),
            ("2026-03-12T03:00:00Z", "nightly"),
            ("2026-03-13T03:00:00Z", "nightly"),
            ("2026-03-14T03:00:00Z", "nightly"),
            ("2026-03-15T03:00:00Z", "nightly"),
        ]
    );
    let weekly = fire(Some("weekly"), NOMINAL).expect("a plan");
    assert_eq!(weekly.next_firings, first.next_firings, "they are the policy's");
    assert_eq!(weekly.runs[0].script, None);
    let demand = fire(None, "on-demand:8f1c").expect("a plan");
    assert_eq!(demand.nominal, "on-demand:8f1c");
    assert_eq!(
        fire(Some("monthly"), NOMINAL),
        Err("schedule: found \"monthly\", allowed one of the policy's schedules: nightly, weekly"
            .into())
    );
    for wrong in ["", "on-demand:", "yesterday", "2026-03-10T03:00:00"] {
        assert_eq!(
            fire(None, wrong),
            Err(format!(
                "scheduledTime: found {wrong:?}, allowed a time such as 2026-01-02T03:00:00Z, or \
                 on-demand: and a request id"
            ))
        );
    }
}

#[test]
fn one_moment_has_one_key_however_it_is_written() {
    let policy = policy(&base());
    for nominal in ["2026-03-10T03:00:00Z", "2026-03-10T03:00:00.000Z", "2026-03-10T04:00:00+01:00"]
    {
        let firing = Firing { nominal: nominal.into(), ..scheduled() };
        let plan = plan(&policy, &firing, &Inventory::default()).expect("a plan");
        assert_eq!(plan.nominal, NOMINAL);
    }
}
