//! The policy crate from outside: every rule of a policy with a value on each side of it, cron
//! expressions against a calendar, plans against small inventories, and properties of all three.
//!
//! `base` is a policy with everything in it that runs; a test changes one thing of it and looks
//! at every line the parser answers, so that a second, false complaint fails as well.

mod after;
mod answer;
mod blackouts;
mod coincide;
mod corpus;
mod cron_properties;
mod cron_tables;
mod default_policy;
mod estimate;
mod fields;
mod forms;
mod fuzz;
mod intervals;
mod kinds;
mod plan_properties;
mod plan_runs;
mod plan_targets;
mod plan_volumes;
mod robustness;
mod schedules;
mod scripts;
mod settings;
mod tags;
mod world;
mod zone_properties;
mod zones;

use proptest::test_runner::Config;
use serde_json::{Value, json};
use stillpoint_policy::{Policy, parse};

pub(crate) const ID: &str = "policy-0123456789abcdef0";

/// A bare PolicyDetails with two schedules and a script.
pub(crate) fn base() -> Value {
    json!({
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT",
        "ResourceTypes": ["INSTANCE"],
        "TargetTags": [{"Key": "Backup", "Value": "yes"}, {"Key": "Tier", "Value": "db"}],
        "Parameters": {
            "ExcludeBootVolume": false,
            "ExcludeDataVolumeTags": [{"Key": "scratch", "Value": "true"}]
        },
        "Schedules": [
            {
                "Name": "nightly",
                "CopyTags": true,
                "TagsToAdd": [{"Key": "made-by", "Value": "policy"}],
                "VariableTags": [{"Key": "instance", "Value": "$(instance-id)"}],
                "CreateRule": {
                    "CronExpression": "cron(0 3 * * ? *)",
                    "Scripts": [{
                        "ExecutionHandler": "Stillpoint-PostgreSQL",
                        "ExecutionTimeout": 60,
                        "MaximumRetryCount": 2
                    }]
                },
                "RetainRule": {"Count": 7}
            },
            {
                "Name": "weekly",
                "CreateRule": {"CronExpression": "cron(0 5 ? * SUN *)"},
                "RetainRule": {"Count": 4}
            }
        ]
    })
}

/// Failures are kept as tests with a name, not in a file of seeds.
pub(crate) fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Sets the value at a JSON pointer; `None` takes the field away.
pub(crate) fn set(document: &mut Value, pointer: &str, value: Option<Value>) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer starts with a slash");
    let parent = document.pointer_mut(parent).expect("the pointer's parent exists");
    match (parent, value) {
        (Value::Object(fields), Some(value)) => {
            fields.insert(name.into(), value);
        }
        (Value::Object(fields), None) => {
            fields.remove(name).expect("the field to take away exists");
        }
        (Value::Array(items), Some(value)) => {
            items[name.parse::<usize>().expect("an index")] = value;
        }
        _ => panic!("{pointer} is no place in the document"),
    }
}

pub(crate) fn changed(changes: &[(&str, Option<Value>)]) -> Value {
    let mut document = base();
    for (pointer, value) in changes {
        set(&mut document, pointer, value.clone());
    }
    document
}

/// Every line the parser answers; none for a policy it takes.
pub(crate) fn problems(document: &Value) -> Vec<String> {
    problems_of_text(&document.to_string())
}

pub(crate) fn problems_of_text(text: &str) -> Vec<String> {
    match parse(ID, text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn policy(document: &Value) -> Policy {
    parse(ID, &document.to_string()).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("the policy is refused: {lines:#?}")
    })
}

/// One change of the base a row: the pointer, the value, and all lines that are answered.
pub(crate) fn check(rows: &[(&str, Value, &[&str])]) {
    for (pointer, value, expected) in rows {
        let found = problems(&changed(&[(pointer, Some(value.clone()))]));
        assert_eq!(found, *expected, "{pointer} = {value}");
    }
}
