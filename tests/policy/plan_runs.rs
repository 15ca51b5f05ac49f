//! A planned run: its script, its tags, its serialized form.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stillpoint_policy::{
    Firing, Handler, Instance, Inventory, Managed, Plan, PlannedScript, Platform, plan,
};

use super::world::{NOMINAL, instance, planned, scheduled, tags, volume};
use super::{base, changed, policy};

fn script(instance: Instance) -> PlannedScript {
    let plan = planned(vec![instance]);
    plan.runs[0].script.clone().expect("a script")
}

#[test]
fn the_script_is_the_policys() {
    let expected = PlannedScript {
        document: "Stillpoint-PostgreSQL".into(),
        handler: Handler::Document,
        parameters: BTreeMap::new(),
        pre: true,
        post: true,
        timeout_secs: 60,
        retries: 2,
        fallback: true,
        skip: None,
    };
    assert_eq!(script(instance("i-1")), expected);
}

#[test]
fn a_script_that_cannot_run_is_skipped_and_says_why() {
    type Change = fn(&mut Instance);
    fn lost(instance: &mut Instance) {
        instance.managed = Managed::Lost { ping_status: "ConnectionLost".into() };
    }
    let skipped = |change: Change| {
        let mut instance = instance("i-1");
        change(&mut instance);
        script(instance).skip
    };
    let rows: [(Change, &str); 5] = [
        (|i| i.managed = Managed::NotManaged, "the instance is not managed by Systems Manager"),
        (lost, "Systems Manager has lost the instance's agent (ping status ConnectionLost)"),
        (|i| i.state = "stopped".into(), "the instance is stopped, so no script can run on it"),
        (|i| i.state = "stopping".into(), "the instance is stopping, so no script can run on it"),
        (
            |i| {
                lost(i);
                i.state = "stopped".into();
            },
            "the instance is stopped, so no script can run on it",
        ),
    ];
    for (change, expected) in rows {
        assert_eq!(skipped(change).as_deref(), Some(expected));
    }
}

#[test]
fn a_windows_instance_is_warned_about() {
    let mut windows = instance("i-1");
    windows.platform = Platform::Windows;
    let plan = planned(vec![windows.clone()]);
    assert_eq!(
        plan.warnings,
        ["i-1: runs Windows; a step of Stillpoint-PostgreSQL that is for Linux is skipped there, \
          and Systems Manager still reports success"]
    );
    assert_eq!(plan.runs[0].script.as_ref().and_then(|script| script.skip.clone()), None);
    windows.managed = Managed::NotManaged;
    assert_eq!(planned(vec![windows]).warnings, [""; 0]);
}

fn under_vss(change: fn(&mut Instance), install: bool) -> PlannedScript {
    let mut document = base();
    document["Parameters"] = json!({});
    document["Schedules"][0]["CopyTags"] = json!(false);
    document["Schedules"][0]["CreateRule"]["Scripts"] =
        json!([{"ExecutionHandler": "AWS_VSS_BACKUP"}]);
    document["Stillpoint"] = json!({"Scripts": [{"VssInstall": install}]});
    let mut windows = instance("i-1");
    windows.platform = Platform::Windows;
    change(&mut windows);
    let inventory = Inventory { instances: vec![windows] };
    let plan = plan(&policy(&document), &scheduled(), &inventory).expect("a plan");
    assert_eq!(plan.warnings, [""; 0]);
    plan.runs[0].script.clone().expect("a script")
}

#[test]
fn where_vss_cannot_work_the_plan_says_so() {
    let works = under_vss(|_| {}, false);
    assert_eq!((works.document.as_str(), works.skip), ("AWSEC2-CreateVssSnapshot", None));
    let installs = under_vss(|_| {}, true);
    assert_eq!(installs.document, "AWSEC2-VssInstallAndSnapshot");
    let linux = under_vss(|instance| instance.platform = Platform::Linux, false);
    let why = "AWS_VSS_BACKUP is for Windows, and the instance does not run it";
    assert_eq!(linux.skip.as_deref(), Some(why));
    let small = under_vss(|instance| instance.instance_type = "t3.micro".into(), false);
    let why = "AWS does not support VSS on instances of type t3.micro";
    assert_eq!(small.skip.as_deref(), Some(why));
}

#[test]
fn tags_are_the_policys_with_variables_resolved() {
    let variables = json!([{"Key": "instance", "Value": "$(instance-id)"},
                           {"Key": "at", "Value": "$(timestamp)"}]);
    let policy = policy(&changed(&[("/Schedules/0/VariableTags", Some(variables))]));
    let inventory = Inventory { instances: vec![instance("i-1")] };
    let of = |nominal: &str| {
        let firing = Firing { nominal: nominal.into(), ..scheduled() };
        plan(&policy, &firing, &inventory).expect("a plan").runs[0].tags.clone()
    };
    assert_eq!(of(NOMINAL), tags(&[("made-by", "policy"), ("instance", "i-1"), ("at", NOMINAL)]));
    assert_eq!(of("on-demand:1")["at"], "2026-03-10T03:00:07Z");
}

fn crowded(added: usize, on_volume: usize, excluded: bool) -> Plan {
    let added: Value =
        (0..added).map(|n| json!({"Key": format!("k{n:02}"), "Value": "v"})).collect();
    let policy = policy(&changed(&[
        ("/Schedules/0/TagsToAdd", Some(added)),
        ("/Schedules/0/VariableTags", Some(json!([]))),
    ]));
    let mut instance = instance("i-1");
    let mut crowded = volume("vol-2", "/dev/sdg", &[("aws:cloudformation:stack-id", "s")]);
    crowded.tags.extend((0..on_volume).map(|n| (format!("t{n}"), "v".to_owned())));
    if excluded {
        crowded.tags.insert("scratch".into(), "true".into());
    }
    instance.volumes.push(crowded);
    plan(&policy, &scheduled(), &Inventory { instances: vec![instance] }).expect("a plan")
}

#[test]
fn tags_stay_within_what_a_snapshot_carries() {
    let full = crowded(32, 0, false);
    assert_eq!((full.runs[0].tags.len(), full.runs[0].copy_tags), (32, false));
    let over = crowded(34, 0, false);
    assert_eq!(over.runs[0].tags.len(), 32);
    assert_eq!(
        over.warnings[0],
        "i-1: a snapshot has room for 32 tags of the policy; left out: k32, k33"
    );
}

#[test]
fn volume_tags_are_copied_where_they_fit() {
    let fits = crowded(12, 20, false);
    assert!(fits.runs[0].copy_tags);
    assert_eq!(fits.warnings, [""; 0]);
    let over = crowded(12, 21, false);
    assert!(!over.runs[0].copy_tags);
    assert_eq!(
        over.warnings,
        ["i-1: CopyTags is left out: 21 tags of a volume and 12 of the policy are more than the \
          32 a snapshot has room for"]
    );
    assert!(crowded(12, 40, true).runs[0].copy_tags, "a volume outside the set counts not");
    let weekly = Firing { schedule: Some("weekly".into()), ..scheduled() };
    let inventory = Inventory { instances: vec![instance("i-1")] };
    let plan = plan(&policy(&base()), &weekly, &inventory).expect("a plan");
    assert!(!plan.runs[0].copy_tags);
}

#[test]
fn an_interval_without_a_time_is_said() {
    let rule = json!({"Interval": 12, "IntervalUnit": "HOURS"});
    let policy = policy(&changed(&[("/Schedules/0/CreateRule", Some(rule))]));
    let inventory = Inventory { instances: vec![instance("i-1")] };
    let plan = plan(&policy, &scheduled(), &inventory).expect("a plan");
    assert_eq!(
        plan.warnings,
        ["CreateRule.Times is not set: counted from 00:00, cron(0 0,12 * * ? *)"]
    );
}

#[test]
fn calls_are_counted_without_retries() {
    let mut unmanaged = instance("i-3");
    unmanaged.managed = Managed::NotManaged;
    let mut instances = vec![instance("i-1"), instance("i-2"), unmanaged];
    let calls = planned(instances.clone()).api_calls;
    let expected = [
        ("ec2:CreateSnapshots", 3),
        ("ec2:CreateTags", 6),
        ("events:PutEvents", 4),
        ("ssm:GetCommandInvocation", 8),
        ("ssm:SendCommand", 4),
    ];
    assert_eq!(calls, expected.map(|(name, count)| (name.to_owned(), count)).into());
    instances.extend((4..=11).map(|n| instance(&format!("i-{n}"))));
    assert_eq!(planned(instances).api_calls["events:PutEvents"], 13);
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let mut stopped = instance("i-2");
    stopped.state = "stopped".into();
    let mut gone = instance("i-3");
    gone.state = "terminated".into();
    let plan = planned(vec![instance("i-1"), stopped, gone]);
    let text = serde_json::to_string(&plan).expect("JSON");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("a plan"), plan);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        json["runs"][1],
        json!({
            "instanceId": "i-2",
            "volumes": [
                {"volumeId": "vol-0", "device": "/dev/xvda", "boot": true, "sizeGib": 8},
                {"volumeId": "vol-1", "device": "/dev/sdf", "boot": false, "sizeGib": 8}
            ],
            "leftOutVolumes": [],
            "excludeBootVolume": false,
            "excludeDataVolumeIds": [],
            "script": {
                "document": "Stillpoint-PostgreSQL", "handler": "document", "pre": true, "post": true, "timeoutSecs": 60,
                "retries": 2, "fallback": true,
                "skip": "the instance is stopped, so no script can run on it"
            },
            "copyTags": true,
            "tags": {"instance": "i-2", "made-by": "policy"}
        })
    );
    assert_eq!(
        json["leftOut"],
        json!([{"instanceId": "i-3", "reason": "the instance is terminated"}])
    );
    let inventory = Inventory { instances: vec![instance("i-1")] };
    let text = serde_json::to_string(&inventory).expect("JSON");
    assert_eq!(serde_json::from_str::<Inventory>(&text).expect("an inventory"), inventory);
}
