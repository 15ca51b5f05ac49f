//! The parser on documents nobody meant as a policy: it answers, and never with silence.

use proptest::prelude::*;
use serde_json::{Value, json};
use stillpoint_policy::parse;

use super::{ID, base, config, problems, problems_of_text};

const NAMES: [&str; 24] = [
    "Policy",
    "PolicyDetails",
    "Stillpoint",
    "PolicyType",
    "ResourceTypes",
    "TargetTags",
    "Schedules",
    "Parameters",
    "Name",
    "CreateRule",
    "RetainRule",
    "CronExpression",
    "Interval",
    "IntervalUnit",
    "Times",
    "Scripts",
    "Stages",
    "ExecutionHandler",
    "ExecutionTimeout",
    "Count",
    "Key",
    "Value",
    "TagsToAdd",
    "VariableTags",
];

/// Trees whose fields often have the names of a policy's, so that the parser goes deep.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["INSTANCE", "PRE", "HOURS", "DAYS", "cron(0 3 * * ? *)"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let name = prop_oneof![
            4 => prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
            1 => "\\PC{0,12}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// All places of a document that a value can be put in.
fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                found.push(format!("{here}/{name}"));
                pointers(field, &format!("{here}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                found.push(format!("{here}/{index}"));
                pointers(item, &format!("{here}/{index}"), found);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn any_document_is_taken_or_refused_with_a_reason(document in documents()) {
        if let Err(errors) = parse(ID, &document.to_string()) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| !error.path.is_empty()));
        }
    }

    #[test]
    fn any_text_is_taken_or_refused_with_a_reason(id in "\\PC{0,70}", text in "\\PC*") {
        if let Err(errors) = parse(&id, &text) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| !error.to_string().contains('\n')));
        }
    }

    #[test]
    fn any_value_in_any_place_is_taken_or_refused_there(
        place in any::<prop::sample::Index>(),
        value in documents(),
    ) {
        let mut document = base();
        let mut places = Vec::new();
        pointers(&document, "", &mut places);
        let pointer = place.get(&places);
        *document.pointer_mut(pointer).expect("a place") = value;
        let top = pointer.split('/').nth(1).expect("a field");
        for line in problems(&document) {
            prop_assert!(line.contains(top) || line.contains("PolicyDetails."), "{pointer}: {line}");
        }
    }

    #[test]
    fn a_broken_off_document_is_not_json(length in any::<prop::sample::Index>()) {
        let text = base().to_string();
        let cut = &text[..length.index(text.len())];
        prop_assert!(problems_of_text(cut)[0].starts_with("document: found text that is not JSON"));
    }
}

#[test]
fn a_flood_of_mistakes_is_answered_in_bounds() {
    let mut document = base();
    for n in 0..5_000 {
        document[format!("field-{n}")] = json!(n);
    }
    let lines = problems(&document);
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100], "document: found 4900 more problems, allowed none");
}

#[test]
fn names_and_values_are_shown_safely() {
    let mut document = base();
    document["a\nb"] = json!(1);
    document["PolicyType"] = json!("x\n".repeat(500));
    let lines = problems(&document);
    assert!(lines.iter().all(|line| !line.contains('\n') && line.len() < 500), "{lines:#?}");
    assert!(lines[0].starts_with("PolicyDetails[\"a\\nb\"]: found an unknown field"), "{lines:?}");
}
