//! The three forms of a document, the Policy object, and text that is none of them.

use serde_json::{Value, json};
use stillpoint_policy::{INLINE_POLICY_ID, Retain, State, parse};

use super::{ID, base, policy, problems, problems_of_text};

/// The output of the AWS command line for a policy made in the console.
const PRINTED: &str = include_str!("../fixtures/get-lifecycle-policy.json");

fn inner() -> Value {
    json!({"PolicyId": ID, "Description": "nightly sets", "State": "ENABLED",
           "PolicyDetails": base()})
}

#[test]
fn what_the_command_line_prints_is_taken_whole() {
    let policy = parse("policy-0f2ad5a5b8e6c1d34", PRINTED).expect("a policy");
    assert_eq!(policy.id, "policy-0f2ad5a5b8e6c1d34");
    assert_eq!(policy.description.as_deref(), Some("Nightly database sets"));
    assert_eq!(policy.state, State::Enabled);
    assert!(policy.exclude_boot_volume);
    assert_eq!(policy.target_tags.len(), 2);
    assert_eq!(policy.exclude_data_volume_tags.len(), 1);
    let names: Vec<&str> = policy.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
    assert_eq!(names, ["Nightly", "Every 12 hours"]);
    let nightly = &policy.schedules[0];
    assert!(nightly.copy_tags);
    assert_eq!(nightly.retain, Retain::Count(14));
    let script = nightly.script.as_ref().expect("a script");
    assert_eq!(script.document, "Stillpoint-PostgreSQL");
    assert_eq!((script.pre, script.post), (true, true));
    assert_eq!((script.timeout_secs, script.retries, script.fallback), (120, 3, false));
    assert_eq!(nightly.create_rule.cron().text(), "cron(30 1 ? * MON-FRI *)");
    let twice_a_day = &policy.schedules[1];
    assert_eq!(twice_a_day.create_rule.cron().text(), "cron(45 9,21 * * ? *)");
    assert_eq!(twice_a_day.script, None);
}

#[test]
fn all_three_forms_give_the_same_policy() {
    let whole = policy(&json!({"Policy": inner()}));
    assert_eq!(whole, policy(&inner()));
    let bare = policy(&base());
    assert_eq!(bare.schedules, whole.schedules);
    assert_eq!(bare.target_tags, whole.target_tags);
    assert!(bare.enabled());
}

#[test]
fn paths_are_the_same_in_all_three_forms() {
    let mut details = base();
    details["Schedules"][0]["RetainRule"]["Count"] = json!(0);
    let mut inner = inner();
    inner["PolicyDetails"] = details.clone();
    let expected =
        ["PolicyDetails.Schedules[0].RetainRule.Count: found 0, allowed 1 to 1000 (snapshots)"];
    assert_eq!(problems(&details), expected);
    assert_eq!(problems(&inner), expected);
    assert_eq!(problems(&json!({"Policy": inner})), expected);
}

#[test]
fn every_problem_is_reported_at_once_and_in_its_place() {
    let mut document = base();
    document["Schedules"][0]["CreateRule"]["Scripts"][0]["ExecutionTimeout"] = json!(500);
    document["Schedules"][0]["CreateRule"]["Scripts"][0]["MaximumRetryCount"] = json!("2");
    document["Schedules"][1]["Nmae"] = json!("weekly");
    document["TargetTags"] = json!([]);
    document["Parameters"]["ExcludeBootVolume"] = json!("no");
    assert_eq!(
        problems(&document),
        [
            "PolicyDetails.TargetTags: found an empty list, allowed 1 to 50 entries",
            "PolicyDetails.Parameters.ExcludeBootVolume: found \"no\", allowed true or false",
            "PolicyDetails.Schedules[0].CreateRule.Scripts[0].ExecutionTimeout: found 500, \
             allowed 10 to 120 (seconds)",
            "PolicyDetails.Schedules[0].CreateRule.Scripts[0].MaximumRetryCount: found \"2\", \
             allowed 0 to 3 (retries)",
            "PolicyDetails.Schedules[1].Nmae: found an unknown field, allowed Name, CopyTags, \
             TagsToAdd, VariableTags, CreateRule, RetainRule, FastRestoreRule, \
             CrossRegionCopyRules, ShareRules, DeprecateRule, ArchiveRule",
        ]
    );
}

#[test]
fn text_that_is_no_json_says_where() {
    let rows = [
        ("", "(EOF while parsing a value at line 1 column 0)"),
        ("nightly", "(expected ident at line 1 column 2)"),
        ("{\n  \"Policy\": {,\n}", "(key must be a string at line 2 column 14)"),
        ("{} {}", "(trailing characters at line 1 column 4)"),
    ];
    for (text, why) in rows {
        let expected =
            format!("document: found text that is not JSON {why}, allowed a JSON object");
        assert_eq!(problems_of_text(text), [expected]);
    }
    let deep = "[".repeat(100_000);
    assert!(problems_of_text(&deep)[0].starts_with("document: found text that is not JSON"));
}

#[test]
fn other_json_is_told_what_a_policy_is() {
    assert_eq!(problems_of_text("[]"), ["document: found an empty list, allowed a JSON object"]);
    assert_eq!(problems_of_text("null"), ["document: found null, allowed a JSON object"]);
    let expected = "document: found an object with neither Policy nor PolicyDetails nor Schedules, \
                    allowed what aws dlm get-lifecycle-policy prints, its Policy object, or a \
                    PolicyDetails object";
    assert_eq!(problems_of_text("{}"), [expected]);
    assert_eq!(problems_of_text("{\"Policies\": []}"), [expected]);
    let wrapped = "Policy: found \"x\", allowed an object";
    assert_eq!(problems_of_text("{\"Policy\": \"x\"}"), [wrapped]);
    let wrapped = "PolicyDetails: found nothing, allowed an object";
    assert_eq!(problems_of_text("{\"Policy\": {}}"), [wrapped]);
}

#[test]
fn a_field_that_is_written_twice_is_refused() {
    let text = base().to_string();
    let text = text.replacen("\"TargetTags\"", "\"PolicyType\":\"X\",\"TargetTags\"", 1);
    let expected = "PolicyDetails.PolicyType: found the same field twice, allowed it once";
    assert!(problems_of_text(&text).contains(&expected.to_owned()));
}

#[test]
fn the_policy_object_is_checked_too() {
    let rows = [
        ("State", json!("PAUSED"), "State: found \"PAUSED\", allowed ENABLED or DISABLED or ERROR"),
        (
            "Description",
            json!("a/b"),
            "Description: found \"a/b\", allowed letters, digits, spaces, _ and -",
        ),
        (
            "PolicyId",
            json!("policy-1"),
            "PolicyId: found \"policy-1\", allowed policy-0123456789abcdef0, the id it is stored \
          under",
        ),
        ("PolicyId", json!(5), "PolicyId: found 5, allowed a string"),
        ("StatusMessage", json!(null), "StatusMessage: found null, allowed a string"),
        ("Tags", json!({"owner": 1}), "Tags.owner: found 1, allowed a string"),
        (
            "DefaultPolicy",
            json!(true),
            "DefaultPolicy: found true, allowed what PolicyDetails.PolicyLanguage says: true with \
             SIMPLIFIED only",
        ),
        (
            "Stat",
            json!("ENABLED"),
            "Stat: found an unknown field, allowed PolicyId, Description, State, StatusMessage, \
          ExecutionRoleArn, DateCreated, DateModified, PolicyDetails, Tags, PolicyArn, \
          DefaultPolicy",
        ),
    ];
    for (name, value, expected) in rows {
        let mut document = inner();
        document[name] = value;
        assert_eq!(problems(&json!({"Policy": document})), [expected]);
    }
    let mut long = inner();
    long["Description"] = json!("x".repeat(501));
    assert!(problems(&long)[0].ends_with("allowed 0 to 500 characters"));
    long["Description"] = json!("x".repeat(500));
    assert_eq!(problems(&long), [""; 0]);
}

#[test]
fn disabled_and_failed_policies_are_read_and_say_so() {
    for (name, state, enabled) in [
        ("ENABLED", State::Enabled, true),
        ("DISABLED", State::Disabled, false),
        ("ERROR", State::Error, false),
    ] {
        let mut document = inner();
        document["State"] = json!(name);
        let policy = policy(&document);
        assert_eq!((policy.state, policy.enabled()), (state, enabled));
        assert_eq!(policy.state.name(), name);
    }
}

#[test]
fn an_inline_policy_may_carry_any_id() {
    let policy = parse(INLINE_POLICY_ID, &inner().to_string()).expect("a policy");
    assert_eq!(policy.id, INLINE_POLICY_ID);
    let (longest, longer) = ("p".repeat(64), "p".repeat(65));
    assert!(parse(&longest, &base().to_string()).is_ok());
    assert!(parse(&longer, &base().to_string()).is_err());
    let errors = parse("policy/../x", &base().to_string()).expect_err("no id");
    assert_eq!(
        errors[0].to_string(),
        "PolicyId: found \"policy/../x\", allowed 1 to 64 letters, digits and - _ ."
    );
}
