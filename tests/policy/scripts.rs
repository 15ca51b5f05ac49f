//! CreateRule.Scripts: ranges, defaults, forbidden neighbours, handlers that are not run.

use serde_json::{Value, json};
use stillpoint_policy::{Components, Handler, Instance, Inventory, Managed, Platform, plan};

use super::world::{instance, scheduled};
use super::{base, changed, check, policy, problems};

const SCRIPTS: &str = "/Schedules/0/CreateRule/Scripts";
const SCRIPT: &str = "PolicyDetails.Schedules[0].CreateRule.Scripts[0]";

fn field(name: &str) -> String {
    format!("{SCRIPTS}/0/{name}")
}

/// Each row: a value of the field, and what follows the field's path in the one line, if any.
fn check_field(name: &str, rows: &[(Value, Option<&str>)]) {
    for (value, expected) in rows {
        let found = problems(&changed(&[(&field(name), Some(value.clone()))]));
        let expected: Vec<String> =
            expected.iter().map(|rest| format!("{SCRIPT}.{name}{rest}")).collect();
        assert_eq!(found, expected, "{name} = {value}");
    }
}

#[test]
fn defaults_are_those_of_dlm() {
    let document = changed(&[(SCRIPTS, Some(json!([{"ExecutionHandler": "Own-Document"}])))]);
    let policy = policy(&document);
    let script = policy.schedules[0].script.as_ref().expect("a script");
    assert_eq!(script.document, "Own-Document");
    assert_eq!((script.pre, script.post), (true, true));
    assert_eq!((script.timeout_secs, script.retries, script.fallback), (10, 0, true));
}

#[test]
fn there_is_at_most_one_script() {
    let one = json!({"ExecutionHandler": "Own-Document"});
    assert_eq!(policy(&changed(&[(SCRIPTS, Some(json!([])))])).schedules[0].script, None);
    assert_eq!(policy(&changed(&[(SCRIPTS, None)])).schedules[0].script, None);
    check(&[
        (
            SCRIPTS,
            json!([one, one]),
            &[
                "PolicyDetails.Schedules[0].CreateRule.Scripts: found a list of 2, allowed at most 1 \
            entry",
            ],
        ),
        (
            SCRIPTS,
            json!([{}]),
            &["PolicyDetails.Schedules[0].CreateRule.Scripts[0].ExecutionHandler: found nothing, \
            allowed the name or ARN of an SSM document"],
        ),
        (
            SCRIPTS,
            json!([{"ExecutionHandler": "Own-Document", "Timeout": 10}]),
            &["PolicyDetails.Schedules[0].CreateRule.Scripts[0].Timeout: found an unknown field, \
            allowed Stages, ExecutionHandlerService, ExecutionHandler, \
            ExecuteOperationOnScriptFailure, ExecutionTimeout, MaximumRetryCount"],
        ),
    ]);
}

#[test]
fn numbers_are_whole_and_within_their_ranges() {
    let refused = |found: &str| format!(": found {found}, allowed 10 to 120 (seconds)");
    let refused: Vec<String> =
        ["9", "121", "-1", "60.0", "\"60\"", "1e+20", "18446744073709551615"].map(refused).into();
    check_field(
        "ExecutionTimeout",
        &[
            (json!(10), None),
            (json!(120), None),
            (json!(9), Some(&refused[0])),
            (json!(121), Some(&refused[1])),
            (json!(-1), Some(&refused[2])),
            (json!(60.0), Some(&refused[3])),
            (json!("60"), Some(&refused[4])),
            (json!(u64::MAX), Some(&refused[6])),
        ],
    );
    check_field(
        "MaximumRetryCount",
        &[
            (json!(0), None),
            (json!(3), None),
            (json!(4), Some(": found 4, allowed 0 to 3 (retries)")),
            (json!(null), Some(": found null, allowed 0 to 3 (retries)")),
        ],
    );
}

#[test]
fn stages_are_pre_and_post_each_once() {
    let stages = |value: Value| {
        let policy = policy(&changed(&[(&field("Stages"), Some(value))]));
        let script = policy.schedules[0].script.as_ref().expect("a script");
        (script.pre, script.post)
    };
    assert_eq!(stages(json!(["PRE", "POST"])), (true, true));
    assert_eq!(stages(json!(["POST", "PRE"])), (true, true));
    assert_eq!(stages(json!(["PRE"])), (true, false));
    assert_eq!(stages(json!(["POST"])), (false, true));
    check_field(
        "Stages",
        &[
            (json!([]), Some(": found an empty list, allowed 1 to 2 entries")),
            (json!(["PRE", "PRE"]), Some("[1]: found \"PRE\", allowed each stage once")),
            (json!(["pre"]), Some("[0]: found \"pre\", allowed PRE or POST")),
            (json!(["PRE", "POST", "PRE"]), Some(": found a list of 3, allowed 1 to 2 entries")),
        ],
    );
}

#[test]
fn the_setting_for_a_failed_pre_script_goes_with_a_pre_script() {
    let name = "ExecuteOperationOnScriptFailure";
    check_field(
        name,
        &[
            (json!(true), None),
            (json!(false), None),
            (json!("false"), Some(": found \"false\", allowed true or false")),
        ],
    );
    let mut document = base();
    document["Schedules"][0]["CreateRule"]["Scripts"][0][name] = json!(true);
    document["Schedules"][0]["CreateRule"]["Scripts"][0]["Stages"] = json!(["PRE"]);
    assert_eq!(problems(&document), [""; 0]);
    document["Schedules"][0]["CreateRule"]["Scripts"][0]["Stages"] = json!(["POST"]);
    assert_eq!(
        problems(&document),
        [format!(
            "{SCRIPT}.{name}: found true, allowed nothing: it says what happens when the \
             pre-script fails, and Stages has no PRE"
        )]
    );
}

#[test]
fn the_handler_is_a_document_that_ssm_can_be_asked_for() {
    let arn = |length: usize| {
        let head = "arn:aws:ssm:eu-west-1:111122223333:document/";
        format!("{head}{}", "x".repeat(length - head.len()))
    };
    let refused = |text: &str| {
        let shown = if text.len() > 80 {
            format!("\"{}\"... ({} characters)", &text[..80], text.len())
        } else {
            format!("{text:?}")
        };
        format!(
            ": found {shown}, allowed 3 to 128 letters, digits and _ - . : / (what SSM takes as a \
             document's name or ARN)"
        )
    };
    check_field(
        "ExecutionHandler",
        &[
            (json!("abc"), None),
            (json!("x".repeat(128)), None),
            (json!(arn(128)), None),
            (json!(arn(129)), Some(&refused(&arn(129)))),
            (json!("ab"), Some(&refused("ab"))),
            (json!("a document"), Some(&refused("a document"))),
            (json!("Own\nDocument"), Some(&refused("Own\nDocument"))),
            (json!(["abc"]), Some(": found a list of 1, allowed a string")),
        ],
    );
    check_field(
        "ExecutionHandlerService",
        &[
            (json!("AWS_SYSTEMS_MANAGER"), None),
            (json!("AWS_LAMBDA"), Some(": found \"AWS_LAMBDA\", allowed AWS_SYSTEMS_MANAGER")),
        ],
    );
}

#[test]
fn the_document_for_sap_hana_is_known_by_its_name_and_by_an_arn() {
    let name = "AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA";
    for text in [name.to_owned(), format!("arn:aws:ssm:eu-west-1:111122223333:document/{name}")] {
        let policy = policy(&changed(&[(&field("ExecutionHandler"), Some(json!(text)))]));
        let script = policy.schedules[0].script.as_ref().expect("a script");
        assert_eq!((script.handler, &script.document), (Handler::SapHana, &text));
    }
}

#[test]
fn vss_is_one_document_with_its_own_time() {
    let mut document = base();
    document["Parameters"] = json!({});
    document["Schedules"][0]["CopyTags"] = json!(false);
    document["Schedules"][0]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "AWS_VSS_BACKUP", "MaximumRetryCount": 1}]);
    let policy = policy(&document);
    let script = policy.schedules[0].script.as_ref().expect("a script");
    assert_eq!(script.handler, Handler::Vss);
    assert_eq!(script.document, "AWSEC2-CreateVssSnapshot");
    assert_eq!((script.timeout_secs, script.retries, script.fallback), (800, 1, true));
}

/// The base policy with AWS_VSS_BACKUP.
fn vss() -> serde_json::Value {
    let mut document = base();
    document["Parameters"] = json!({});
    document["Schedules"][0]["CopyTags"] = json!(false);
    document["Schedules"][0]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "AWS_VSS_BACKUP", "MaximumRetryCount": 1}]);
    document
}

#[test]
fn what_a_vss_document_would_refuse_is_refused_before() {
    let path = "Stillpoint.Scripts[0]";
    for (settings, lines) in [
        (json!({"ExecutionTimeout": 800, "DocumentParameters": {"CopyOnly": "True"}}), vec![]),
        (
            json!({"DocumentParameters": {"NoWriters": "true"}}),
            vec![format!(
                "{path}.DocumentParameters.NoWriters: found \"true\", allowed \"True\" or \"False\""
            )],
        ),
        (
            json!({"DocumentParameters": {"CreateAmi": "True"}}),
            vec![format!(
                "{path}.DocumentParameters.CreateAmi: found \"CreateAmi\", allowed one of \
             CollectDiagnosticLogs, CopyOnly, NoWriters, SaveVssMetadata, VssVersion"
            )],
        ),
        (
            json!({"DocumentParameters": {"NoWriters": "True", "SaveVssMetadata": "True"}}),
            vec![format!(
                "{path}.DocumentParameters.SaveVssMetadata: found \"True\", allowed it without NoWriters"
            )],
        ),
        (
            json!({"DocumentParameters": {"VssVersion": "2.5.1"}}),
            vec![format!(
                "{path}.DocumentParameters.VssVersion: found \"2.5.1\", allowed it beside VssInstall only"
            )],
        ),
        (json!({"VssInstall": true, "DocumentParameters": {"VssVersion": "2.5.1"}}), vec![]),
        (
            json!({"VssInstall": true, "DocumentParameters": {"VssVersion": "newest"}}),
            vec![format!(
                "{path}.DocumentParameters.VssVersion: found \"newest\", allowed up to 16 digits and dots"
            )],
        ),
    ] {
        let mut document = vss();
        document["Stillpoint"] = json!({"Scripts": [settings]});
        assert_eq!(problems(&document), lines, "{settings}");
    }
    let mut other = base();
    other["Stillpoint"] = json!({"Scripts": [{"VssInstall": true}]});
    let lines = problems(&other);
    assert!(lines[0].contains("VssInstall: found true for schedule"), "{lines:?}");
}

#[test]
fn what_vss_cannot_do_is_seen_in_the_plan() {
    let document = vss();
    let skip = |change: &dyn Fn(&mut Instance)| {
        let mut one = instance("i-1");
        one.platform = Platform::Windows;
        change(&mut one);
        let inventory = Inventory { instances: vec![one] };
        let plan = plan(&policy(&document), &scheduled(), &inventory).expect("a plan");
        let script = plan.runs[0].script.clone().expect("a script");
        let warned = plan.warnings.iter().any(|one| one.contains("AwsVssComponents"));
        (script.skip.unwrap_or_default(), warned)
    };
    assert_eq!(skip(&|_| ()), (String::new(), false));
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Instance));
    let changes: [Change; 6] = [
        ("for Windows", &|one| one.platform = Platform::Linux),
        ("t3.nano", &|one| one.instance_type = "t3.nano".into()),
        ("t3a.micro", &|one| one.instance_type = "t3a.micro".into()),
        ("has 2.3.1319.0", &|one| {
            one.managed = Managed::Online { agent_version: "2.3.1319.0".into() };
        }),
        ("not managed", &|one| one.managed = Managed::NotManaged),
        ("is stopped", &|one| one.state = "stopped".into()),
    ];
    for (words, change) in changes {
        let (why, _) = skip(change);
        assert!(why.contains(words), "{words}: {why}");
    }
    for kind in ["t3.small", "m7i.large", "t4g.nano", ""] {
        assert_eq!(skip(&|one| one.instance_type = kind.into()).0, "", "{kind}");
    }
    for (components, warned) in [
        (Components::Missing, true),
        (Components::Installed("2.3.0".into()), true),
        (Components::Installed("2.3.1".into()), false),
        (Components::Installed("newest".into()), false),
    ] {
        let found = skip(&|one| one.vss_components = components.clone());
        assert_eq!(found, (String::new(), warned), "{components:?}");
    }
}

#[test]
fn our_agent_is_not_sent_for_a_set_of_the_boot_volume_alone() {
    let mut document = base();
    document["Parameters"] = json!({});
    for (name, skipped) in [("Stillpoint-Filesystem", true), ("Own-Document", false)] {
        document["Schedules"][0]["CreateRule"]["Scripts"][0]["ExecutionHandler"] = json!(name);
        let mut one = instance("i-1");
        one.volumes.truncate(1);
        let inventory = Inventory { instances: vec![one] };
        let plan = plan(&policy(&document), &scheduled(), &inventory).expect("a plan");
        let skip = plan.runs[0].script.clone().expect("a script").skip;
        assert_eq!(skip.is_some_and(|why| why.contains("only the boot volume")), skipped, "{name}");
    }
}

#[test]
fn what_dlm_forbids_beside_vss_is_said_as_well() {
    let mut document = base();
    document["Schedules"][0]["CreateRule"]["Scripts"] = json!([{
        "ExecutionHandler": "AWS_VSS_BACKUP",
        "ExecutionHandlerService": "AWS_SYSTEMS_MANAGER",
        "Stages": ["PRE", "POST"],
        "ExecutionTimeout": 60
    }]);
    let lines = problems(&document);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(": found").next()).collect();
    let script = |name: &str| format!("{SCRIPT}.{name}");
    assert_eq!(
        paths,
        [
            "PolicyDetails.Schedules[0].CopyTags",
            &script("Stages"),
            &script("ExecutionHandlerService"),
            &script("ExecutionTimeout"),
            "PolicyDetails.Parameters.ExcludeDataVolumeTags",
        ]
    );
}
