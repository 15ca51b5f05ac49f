//! The `Stillpoint` object: what DLM has no field for.

use std::collections::BTreeMap;

use jiff::civil::{Weekday, date, time};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use stillpoint_policy::{Blackout, Settings};

use super::{ID, base, policy, problems};

fn with(settings: Value) -> Value {
    let mut document = base();
    document["Stillpoint"] = settings;
    document
}

#[test]
fn a_policy_without_it_behaves_as_in_dlm() {
    assert_eq!(policy(&base()).settings, Settings::default());
    assert_eq!(policy(&with(json!({}))).settings, Settings::default());
}

#[test]
fn it_stands_beside_the_policy_in_all_three_forms() {
    let inner = json!({"PolicyId": ID, "PolicyDetails": base()});
    for mut document in [json!({"Policy": inner}), inner.clone(), base()] {
        document["Stillpoint"] = json!({"MinimumGoodSets": 5});
        assert_eq!(policy(&document).settings.retention.minimum_good_sets, 5);
        document["Stillpoint"] = json!({"MinimumGoodSets": 0});
        let line = "Stillpoint.MinimumGoodSets: found 0, allowed 1 to 1000 (sets)";
        assert_eq!(problems(&document), [line]);
        document["Stillpoint"] = json!([]);
        assert_eq!(problems(&document), ["Stillpoint: found an empty list, allowed an object"]);
    }
}

#[test]
fn every_setting_is_read() {
    let mut document = with(json!({
        "TimeZone": "Europe/Berlin",
        "BlackoutWindows": [
            {"From": "2026-12-24T18:00", "To": "2026-12-27T06:00"},
            {"Days": ["SAT", "SUN"], "From": "22:00", "To": "02:00"}
        ],
        "StartWithinMinutes": 15,
        "RequireApplicationConsistency": true,
        "MinimumGoodSets": 3,
        "Scripts": [{
            "Schedule": "nightly",
            "ExecutionTimeout": 160,
            "Deadline": 30,
            "DocumentParameters": {"stanza": "main", "hosts": ["a", "b"]}
        }]
    }));
    document["Schedules"].as_array_mut().expect("schedules").truncate(1);
    let settings = policy(&document).settings;
    assert_eq!(settings.time_zone, TimeZone::get("Europe/Berlin").expect("a zone"));
    assert_eq!(
        settings.blackouts,
        [
            Blackout::Between {
                from: date(2026, 12, 24).at(18, 0, 0, 0),
                to: date(2026, 12, 27).at(6, 0, 0, 0)
            },
            Blackout::Weekly {
                days: vec![Weekday::Saturday, Weekday::Sunday],
                from: time(22, 0, 0, 0),
                to: time(2, 0, 0, 0)
            },
        ]
    );
    assert_eq!(settings.start_within_minutes, 15);
    assert!(settings.retention.require_application_consistency);
    assert_eq!(settings.retention.minimum_good_sets, 3);
    let script = &settings.scripts["nightly"];
    assert_eq!((script.timeout_secs, script.deadline_secs), (Some(160), Some(30)));
    let parameters = BTreeMap::from([
        ("stanza".to_owned(), vec!["main".to_owned()]),
        ("hosts".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
    ]);
    assert_eq!(script.parameters, parameters);
    assert_eq!(settings.scripts.len(), 1);
}

#[test]
fn an_entry_without_a_schedule_is_for_every_script_without_one_of_its_own() {
    let mut document = with(json!({"Scripts": [{"Deadline": 20}]}));
    document["Schedules"][1]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "Stillpoint-Hooks"}]);
    let deadlines = |document: &Value| {
        let scripts = policy(document).settings.scripts;
        ["nightly", "weekly"].map(|name| scripts[name].deadline_secs)
    };
    assert_eq!(deadlines(&document), [Some(20), Some(20)]);
    document["Stillpoint"]["Scripts"] =
        json!([{"Deadline": 20}, {"Schedule": "weekly", "Deadline": 40}]);
    assert_eq!(deadlines(&document), [Some(20), Some(40)]);
}

#[test]
fn each_way_of_being_wrong_has_its_line() {
    let one = |script: Value| json!({"Scripts": [script]});
    let rows: [(Value, &[&str]); 22] = [
        (
            json!({"Deadline": 60}),
            &["Stillpoint.Deadline: found an unknown field, allowed TimeZone, BlackoutWindows, \
               StartWithinMinutes, RequireApplicationConsistency, MinimumGoodSets, Scripts"],
        ),
        (
            json!({"TimeZone": "CEST"}),
            &["Stillpoint.TimeZone: found \"CEST\", allowed the name of a time zone such as \
               Europe/Berlin or UTC"],
        ),
        (
            json!({"TimeZone": "europe/berlin"}),
            &[
                "Stillpoint.TimeZone: found \"europe/berlin\", allowed the name of a time zone such \
               as Europe/Berlin or UTC",
            ],
        ),
        (
            json!({"StartWithinMinutes": 0}),
            &["Stillpoint.StartWithinMinutes: found 0, allowed 1 to 720 (minutes)"],
        ),
        (
            json!({"StartWithinMinutes": 721}),
            &["Stillpoint.StartWithinMinutes: found 721, allowed 1 to 720 (minutes)"],
        ),
        (
            json!({"RequireApplicationConsistency": "yes"}),
            &["Stillpoint.RequireApplicationConsistency: found \"yes\", allowed true or false"],
        ),
        (
            json!({"MinimumGoodSets": 1001}),
            &["Stillpoint.MinimumGoodSets: found 1001, allowed 1 to 1000 (sets)"],
        ),
        (
            json!({"BlackoutWindows": [{"From": "18:00"}]}),
            &["Stillpoint.BlackoutWindows[0].To: found nothing, allowed a time of day as 18:00, \
               or a day and time as 2026-12-24T18:00"],
        ),
        (
            json!({"BlackoutWindows": [{"From": "18:00", "To": "18:00"}]}),
            &["Stillpoint.BlackoutWindows[0].To: found \"18:00\", allowed another time of day \
               than From"],
        ),
        (
            json!({"BlackoutWindows": [{"From": "2026-12-24T18:00", "To": "2026-12-24T17:59"}]}),
            &[
                "Stillpoint.BlackoutWindows[0].To: found \"2026-12-24T17:59\", allowed a time after \
               From",
            ],
        ),
        (
            json!({"BlackoutWindows": [{"From": "2026-12-24T18:00", "To": "06:00"}]}),
            &["Stillpoint.BlackoutWindows[0]: found a time of day beside a day and time, allowed \
               From and To of the same kind"],
        ),
        (
            json!({"BlackoutWindows": [{"Days": ["SAT", "SAT", "Sat"], "From": "24:00",
                                        "To": "6:00"}]}),
            &[
                "Stillpoint.BlackoutWindows[0].From: found \"24:00\", allowed a time of day as \
                 18:00, or a day and time as 2026-12-24T18:00",
                "Stillpoint.BlackoutWindows[0].To: found \"6:00\", allowed a time of day as \
                 18:00, or a day and time as 2026-12-24T18:00",
                "Stillpoint.BlackoutWindows[0].Days[1]: found \"SAT\", allowed each day once",
                "Stillpoint.BlackoutWindows[0].Days[2]: found \"Sat\", allowed SUN or MON or TUE \
                 or WED or THU or FRI or SAT",
            ],
        ),
        (
            json!({"BlackoutWindows": [{"Days": ["SAT"], "From": "2026-12-24T18:00",
                                        "To": "2026-12-25T18:00"}]}),
            &["Stillpoint.BlackoutWindows[0].Days: found a list of 1, allowed nothing: From and \
               To are days already"],
        ),
        (
            one(json!({"ExecutionTimeout": 9})),
            &["Stillpoint.Scripts[0].ExecutionTimeout: found 9, allowed 10 to 800 (seconds)"],
        ),
        (
            one(json!({"ExecutionTimeout": 161})),
            &["Stillpoint.Scripts[0].ExecutionTimeout: found 161, allowed at most 160 with \
               MaximumRetryCount 2"],
        ),
        (
            one(json!({"Deadline": 601})),
            &["Stillpoint.Scripts[0].Deadline: found 601, allowed 5 to 600 (seconds)"],
        ),
        (
            one(json!({"Schedule": "weekly"})),
            &["Stillpoint.Scripts[0].Schedule: found \"weekly\", allowed the name of a schedule \
               with Scripts; the policy has no such schedule"],
        ),
        (
            json!({"Scripts": [{"Deadline": 10}, {"Deadline": 20}]}),
            &["Stillpoint.Scripts[1].Schedule: found nothing again, allowed a schedule that \
               Stillpoint.Scripts[0] does not have"],
        ),
        (
            one(json!({"DocumentParameters": {"command": "x", "a-b": "x", "n": 1, "l": []}})),
            &[
                "Stillpoint.Scripts[0].DocumentParameters.a-b: found \"a-b\", allowed a name of \
                 letters and digits",
                "Stillpoint.Scripts[0].DocumentParameters.command: found \"command\", allowed \
                 another name: the run sends this one",
                "Stillpoint.Scripts[0].DocumentParameters.l: found an empty list, allowed 1 to 50 \
                 entries",
                "Stillpoint.Scripts[0].DocumentParameters.n: found 1, allowed a string or a list \
                 of strings",
            ],
        ),
        (
            one(json!({"DocumentParameters": ["x"]})),
            &["Stillpoint.Scripts[0].DocumentParameters: found a list of 1, allowed an object: a \
               string or a list of strings by parameter name"],
        ),
        (
            one(json!({"VssExcludeDataVolumeTags": [{"Key": "a", "Value": "b"}]})),
            &["Stillpoint.Scripts[0].VssExcludeDataVolumeTags: found it for schedule nightly, \
               allowed it with AWS_VSS_BACKUP only; Parameters.ExcludeDataVolumeTags does the \
               rest"],
        ),
        (
            one(json!({"Schedule": 1})),
            &["Stillpoint.Scripts[0].Schedule: found 1, allowed a string"],
        ),
    ];
    for (settings, expected) in rows {
        assert_eq!(problems(&with(settings.clone())), expected, "{settings}");
    }
}

#[test]
fn consistency_is_required_only_where_it_can_be_proven() {
    let mut document = with(json!({"RequireApplicationConsistency": true}));
    let line = |schedule: &str, why: &str| {
        format!(
            "Stillpoint.RequireApplicationConsistency: found true beside schedule {schedule}, which \
             has {why}, allowed true where every schedule has a script with both stages, or \
             AWS_VSS_BACKUP"
        )
    };
    assert_eq!(problems(&document), [line("weekly", "no Scripts")]);
    document["Schedules"][1]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "Own-Document", "Stages": ["POST"]}]);
    assert_eq!(problems(&document), [line("weekly", "only one stage")]);
}

#[test]
fn a_deadline_is_for_documents_that_know_it() {
    let mut document = with(json!({"Scripts": [{"Deadline": 30}]}));
    document["Schedules"][0]["CreateRule"]["Scripts"][0]["ExecutionHandler"] =
        json!("Own-Document");
    assert_eq!(
        problems(&document),
        [
            "Stillpoint.Scripts[0].Deadline: found it for Own-Document of schedule nightly, allowed it \
          for documents of Stillpoint; another may take it in DocumentParameters"
        ]
    );
}

#[test]
fn under_vss_the_document_has_its_own_limits() {
    let mut document = with(json!({"Scripts": [{"ExecutionTimeout": 120, "VssInstall": true}]}));
    document["Parameters"] = json!({});
    document["Schedules"][0]["CopyTags"] = json!(false);
    document["Schedules"][0]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "AWS_VSS_BACKUP", "MaximumRetryCount": 3}]);
    assert!(policy(&document).settings.scripts["nightly"].vss_install);
    document["Stillpoint"]["Scripts"][0] = json!({"ExecutionTimeout": 119, "Deadline": 30});
    assert_eq!(
        problems(&document),
        [
            "Stillpoint.Scripts[0].ExecutionTimeout: found 119, allowed at least 120 with \
             AWS_VSS_BACKUP",
            "Stillpoint.Scripts[0].Deadline: found it for schedule nightly, allowed nothing: VSS \
             holds writes for at most 10 seconds",
        ]
    );
    let scripted = with(json!({"Scripts": [{"VssInstall": true}]}));
    assert_eq!(
        problems(&scripted),
        ["Stillpoint.Scripts[0].VssInstall: found true for schedule nightly, allowed true with \
          AWS_VSS_BACKUP only"]
    );
}

#[test]
fn a_timeout_fits_with_its_retries_into_one_invocation() {
    for (retries, longest) in [(0, 300), (1, 230), (2, 160), (3, 120)] {
        let mut document = with(json!({"Scripts": [{"ExecutionTimeout": longest}]}));
        document["Schedules"][0]["CreateRule"]["Scripts"][0]["MaximumRetryCount"] = json!(retries);
        assert_eq!(problems(&document), [""; 0]);
        document["Stillpoint"]["Scripts"][0]["ExecutionTimeout"] = json!(longest + 1);
        assert_eq!(problems(&document).len(), 1);
    }
}
