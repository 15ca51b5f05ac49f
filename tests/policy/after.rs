//! What a schedule does with a set that exists: fast restore, copies, sharing.

use serde_json::{Value, json};
use stillpoint_policy::{Age, FastRestore, RegionCopy, Retain, RetainUnit, Schedule, Share, Zone};

use super::{changed, policy, problems};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn schedule(name: &str, value: Value) -> Schedule {
    policy(&changed(&[(&format!("/Schedules/0/{name}"), Some(value))])).schedules.remove(0)
}

/// Each row: a value of the rule, and what follows the rule's path in each line.
fn check_rule(name: &str, rows: &[(Value, &[&str])]) {
    for (value, expected) in rows {
        let found = problems(&changed(&[(&format!("/Schedules/0/{name}"), Some(value.clone()))]));
        let path = format!("PolicyDetails.Schedules[0].{name}");
        let expected: Vec<String> = expected.iter().map(|rest| format!("{path}{rest}")).collect();
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn fast_restore_is_in_zones_for_a_count_or_an_age() {
    let value = json!({"Count": 2, "AvailabilityZones": ["eu-west-1a", "eu-west-1b"]});
    let zones = ["eu-west-1a", "eu-west-1b"].map(|zone| Zone::Name(zone.into())).to_vec();
    let expected = FastRestore { zones, retain: Retain::Count(2) };
    assert_eq!(schedule("FastRestoreRule", value).fast_restore, Some(expected));
    let value = json!({"Interval": 3, "IntervalUnit": "DAYS", "AvailabilityZoneIds": ["euw1-az1"]});
    let retain = Retain::Age(Age { interval: 3, unit: RetainUnit::Days });
    let expected = FastRestore { zones: vec![Zone::Id("euw1-az1".into())], retain };
    assert_eq!(schedule("FastRestoreRule", value).fast_restore, Some(expected));
    check_rule(
        "FastRestoreRule",
        &[
            (json!({"Count": 7, "AvailabilityZones": ["us-gov-east-1a"]}), &[]),
            (
                json!({"Count": 8, "AvailabilityZones": ["eu-west-1a"]}),
                &[": found Count 8, allowed no more than RetainRule, which is Count 7"],
            ),
            (
                json!({"Count": 0, "AvailabilityZones": []}),
                &[
                    ".Count: found 0, allowed 1 to 1000 (snapshots)",
                    ".AvailabilityZones: found an empty list, allowed 1 to 10 entries",
                ],
            ),
            (
                json!({"Count": 1, "AvailabilityZones": ["eu-west-1", "eu-west-1a", "eu-west-1a"]}),
                &[
                    ".AvailabilityZones[0]: found \"eu-west-1\", allowed a zone such as eu-west-1a",
                    ".AvailabilityZones[2]: found \"eu-west-1a\", allowed each zone once",
                ],
            ),
            (
                json!({"Count": 1, "AvailabilityZoneIds": ["eu-west-1a", "use1-az10"]}),
                &[".AvailabilityZoneIds[0]: found \"eu-west-1a\", allowed a zone such as euw1-az1"],
            ),
            (
                json!({"Count": 1, "AvailabilityZones": ["eu-west-1a"],
                       "AvailabilityZoneIds": ["euw1-az1"]}),
                &[".AvailabilityZoneIds: found a list of 1, allowed nothing: AvailabilityZones \
                   stands in its place"],
            ),
            (
                json!({"Count": 1}),
                &[": found an object, allowed AvailabilityZones, or AvailabilityZoneIds"],
            ),
            (
                json!({"AvailabilityZones": ["eu-west-1a"]}),
                &[": found an object, allowed Count, or Interval and IntervalUnit"],
            ),
        ],
    );
}

#[test]
fn copies_go_to_up_to_three_regions() {
    let value = json!([
        {"Target": "eu-central-1", "Encrypted": true, "CmkArn": KEY, "CopyTags": true,
         "RetainRule": {"Interval": 1, "IntervalUnit": "MONTHS"}},
        {"TargetRegion": "us-gov-east-1", "Encrypted": false}
    ]);
    let expected = [
        RegionCopy {
            target_region: "eu-central-1".into(),
            encrypted: true,
            cmk_arn: Some(KEY.into()),
            copy_tags: true,
            retain: Some(Age { interval: 1, unit: RetainUnit::Months }),
        },
        RegionCopy {
            target_region: "us-gov-east-1".into(),
            encrypted: false,
            cmk_arn: None,
            copy_tags: false,
            retain: None,
        },
    ];
    assert_eq!(schedule("CrossRegionCopyRules", value).copies, expected);
    let to = |region: &str| json!({"Target": region, "Encrypted": true});
    let key = "[0].CmkArn: found \"alias/backup\", allowed a KMS key's ARN such as \
               arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab";
    check_rule(
        "CrossRegionCopyRules",
        &[
            (json!([to("eu-west-1"), to("eu-west-2"), to("eu-west-3")]), &[]),
            (
                json!([to("eu-west-1"), to("eu-west-2"), to("eu-west-3"), to("eu-north-1")]),
                &[": found a list of 4, allowed at most 3 entries"],
            ),
            (
                json!([to("eu-west-1"), to("eu-west-1")]),
                &["[1]: found \"eu-west-1\" again, allowed each Region once"],
            ),
            (
                json!([{"Target": "eu-west-1"}]),
                &["[0].Encrypted: found nothing, allowed true or false"],
            ),
            (json!([{"Encrypted": true}]), &["[0].Target: found nothing, allowed a Region"]),
            (
                json!([{"Target": "eu-west-1", "TargetRegion": "eu-west-1", "Encrypted": true}]),
                &["[0].TargetRegion: found \"eu-west-1\", allowed nothing: Target stands in its \
                   place"],
            ),
            (
                json!([to("arn:aws:outposts:eu-west-1:111122223333:outpost/op-0123456789abcdef0")]),
                &["[0].Target: found \
                   \"arn:aws:outposts:eu-west-1:111122223333:outpost/op-0123456789abcdef0\", \
                   allowed a Region (nothing is copied to Outposts; leave this rule with DLM)"],
            ),
            (
                json!([to("Frankfurt")]),
                &["[0].Target: found \"Frankfurt\", allowed a Region such as eu-west-1"],
            ),
            (json!([{"Target": "eu-west-1", "Encrypted": true, "CmkArn": "alias/backup"}]), &[key]),
            (
                json!([{"Target": "eu-west-1", "Encrypted": true, "RetainRule": {"Count": 3}}]),
                &[
                    "[0].RetainRule.Count: found an unknown field, allowed Interval, IntervalUnit",
                    "[0].RetainRule.IntervalUnit: found nothing, allowed DAYS or WEEKS or MONTHS \
                     or YEARS",
                    "[0].RetainRule.Interval: found nothing, allowed a whole number of \
                     IntervalUnit",
                ],
            ),
            (
                json!([{"Target": "eu-west-1", "Encrypted": true, "DeprecateRule": {}}]),
                &["[0].DeprecateRule: found an object, allowed nothing: only AMI policies have it"],
            ),
        ],
    );
}

#[test]
fn sharing_ends_before_the_set_does() {
    let value = json!([{"TargetAccounts": ["111122223333"], "UnshareInterval": 2,
                        "UnshareIntervalUnit": "WEEKS"}]);
    let expected = Share {
        accounts: vec!["111122223333".into()],
        unshare_after: Some(Age { interval: 2, unit: RetainUnit::Weeks }),
    };
    assert_eq!(schedule("ShareRules", value).shares, [expected]);
    let one = json!({"TargetAccounts": ["111122223333"]});
    check_rule(
        "ShareRules",
        &[
            (json!([one]), &[]),
            (json!([one, one]), &[": found a list of 2, allowed at most 1 entry"]),
            (json!([{}]), &["[0].TargetAccounts: found nothing, allowed a list of account ids"]),
            (
                json!([{"TargetAccounts": ["11112222333", "111122223333", "111122223333"]}]),
                &[
                    "[0].TargetAccounts[0]: found \"11112222333\", allowed an account id of 12 \
                     digits",
                    "[0].TargetAccounts[2]: found \"111122223333\", allowed each account once",
                ],
            ),
            (
                json!([{"TargetAccounts": ["111122223333"], "UnshareInterval": 2}]),
                &["[0].UnshareIntervalUnit: found nothing, allowed DAYS or WEEKS or MONTHS or \
                   YEARS"],
            ),
        ],
    );
    for (interval, unit, line) in [
        (4, "DAYS", None),
        (5, "DAYS", Some("5 DAYS")),
        (1, "WEEKS", Some("1 WEEKS")),
        (1, "MONTHS", Some("1 MONTHS")),
    ] {
        let keep = json!({"Interval": 5, "IntervalUnit": "DAYS"});
        let rule = json!([{"TargetAccounts": ["111122223333"], "UnshareInterval": interval,
                           "UnshareIntervalUnit": unit}]);
        let found = problems(&changed(&[
            ("/Schedules/0/RetainRule", Some(keep.clone())),
            ("/Schedules/1/RetainRule", Some(keep)),
            ("/Schedules/0/ShareRules", Some(rule)),
        ]));
        let expected: Vec<String> = line
            .iter()
            .map(|found| {
                format!(
                    "PolicyDetails.Schedules[0].ShareRules[0].UnshareInterval: found {found}, \
                     allowed less than RetainRule, which is 5 DAYS"
                )
            })
            .collect();
        assert_eq!(found, expected, "{interval} {unit}");
    }
}

#[test]
fn an_age_ends_by_the_calendar() {
    let from = "2027-01-31T03:00:00Z".parse().expect("a time");
    for (interval, unit, end) in [
        (1, RetainUnit::Days, "2027-02-01T03:00:00Z"),
        (2, RetainUnit::Weeks, "2027-02-14T03:00:00Z"),
        (1, RetainUnit::Months, "2027-02-28T03:00:00Z"),
        (100, RetainUnit::Years, "2127-01-31T03:00:00Z"),
    ] {
        assert_eq!(Age { interval, unit }.end(from).to_string(), end);
    }
    let far = "9999-06-01T00:00:00Z".parse().expect("a time");
    let hundred = Age { interval: 100, unit: RetainUnit::Years };
    assert_eq!(hundred.end(far), jiff::Timestamp::MAX);
}
