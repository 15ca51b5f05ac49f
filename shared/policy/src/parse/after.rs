//! What a schedule does with a set that exists: FastRestoreRule, CrossRegionCopyRules,
//! ShareRules.

use std::collections::BTreeSet;

use super::retain;
use crate::json::quoted;
use crate::reader::{At, Object};
use crate::report::Report;
use crate::rules::{FastRestore, RegionCopy, Share, Zone};

const MAX_ZONES: usize = 10;
const MAX_COPIES: usize = 3;
const MAX_SHARE_RULES: usize = 1;
const ACCOUNT_DIGITS: usize = 12;
/// ModifySnapshotAttribute has no documented limit; a policy document has one of its own.
const MAX_ACCOUNTS: usize = 1000;
const MAX_REGION_CHARS: usize = 16;
const MAX_ARN_CHARS: usize = 2048;

pub(super) fn fast_restore(schedule: &Object<'_>, report: &mut Report) -> Option<FastRestore> {
    let field = schedule.get("FastRestoreRule")?;
    let known = ["Count", "Interval", "IntervalUnit", "AvailabilityZones", "AvailabilityZoneIds"];
    let rule = field.object(report, &known)?;
    let retain = retain::count_or_age(&field, &rule, "(snapshots)", report);
    let zones = match (rule.get("AvailabilityZones"), rule.get("AvailabilityZoneIds")) {
        (Some(_), Some(ids)) => {
            ids.refuse(report, "nothing: AvailabilityZones stands in its place");
            None
        }
        (Some(names), None) => Some(read_zones(&names, report, is_zone_name, "eu-west-1a")),
        (None, Some(ids)) => Some(read_zones(&ids, report, is_zone_id, "euw1-az1")),
        (None, None) => {
            field.refuse(report, "AvailabilityZones, or AvailabilityZoneIds");
            None
        }
    };
    let by_name = rule.get("AvailabilityZones").is_some();
    let zone = |text: String| if by_name { Zone::Name(text) } else { Zone::Id(text) };
    Some(FastRestore { zones: zones?.into_iter().map(zone).collect(), retain: retain? })
}

fn read_zones(
    field: &At<'_>,
    report: &mut Report,
    is_zone: fn(&str) -> bool,
    example: &str,
) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut zones = Vec::new();
    for entry in field.list(report, 1..=MAX_ZONES) {
        let Some(text) = entry.text(report) else { continue };
        if !is_zone(text) {
            entry.refuse(report, format!("a zone such as {example}"));
        } else if !seen.insert(text) {
            entry.refuse(report, "each zone once");
        } else {
            zones.push(text.to_owned());
        }
    }
    zones
}

pub(super) fn copies(schedule: &Object<'_>, report: &mut Report) -> Vec<RegionCopy> {
    let Some(field) = schedule.get("CrossRegionCopyRules") else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut copies = Vec::new();
    for entry in field.list(report, 0..=MAX_COPIES) {
        let Some(copy) = copy(&entry, report) else { continue };
        if seen.insert(copy.target_region.clone()) {
            copies.push(copy);
        } else {
            let found = format!("{} again", quoted(&copy.target_region));
            report.add(entry.path, found, "each Region once");
        }
    }
    copies
}

fn copy(entry: &At<'_>, report: &mut Report) -> Option<RegionCopy> {
    let known = [
        "Target",
        "TargetRegion",
        "Encrypted",
        "CmkArn",
        "CopyTags",
        "RetainRule",
        "DeprecateRule",
    ];
    let rule = entry.object(report, &known)?;
    rule.absent(report, "DeprecateRule", "only AMI policies have it");
    // Policies from before Target have TargetRegion.
    let target = match (rule.get("Target"), rule.get("TargetRegion")) {
        (Some(_), Some(older)) => {
            older.refuse(report, "nothing: Target stands in its place");
            None
        }
        (None, Some(older)) => region(&older, report),
        _ => rule.need(report, "Target", "a Region").and_then(|field| region(&field, report)),
    };
    let encrypted = rule.need(report, "Encrypted", "true or false");
    let encrypted = encrypted.and_then(|field| field.boolean(report));
    let key = rule.get("CmkArn").map(|field| key(&field, report));
    let retain = rule.get("RetainRule").map(|field| {
        let rule = field.object(report, &["Interval", "IntervalUnit"])?;
        retain::age(&rule, ["Interval", "IntervalUnit"], report)
    });
    Some(RegionCopy {
        copy_tags: rule.boolean_or(report, "CopyTags", false),
        target_region: target?,
        encrypted: encrypted?,
        cmk_arn: key.map_or(Some(None), |key| key.map(Some))?,
        retain: retain.map_or(Some(None), |retain| retain.map(Some))?,
    })
}

pub(super) fn region(field: &At<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    if text.starts_with("arn:") {
        let instead = "a Region (nothing is copied to Outposts; leave this rule with DLM)";
        field.refuse(report, instead);
        return None;
    }
    if !is_region(text) {
        field.refuse(report, "a Region such as eu-west-1");
        return None;
    }
    Some(text.to_owned())
}

/// `arn:aws:kms:eu-west-1:111122223333:key/...`; DLM takes no alias.
fn key(field: &At<'_>, report: &mut Report) -> Option<String> {
    let text = field.text_of(report, 0..=MAX_ARN_CHARS)?;
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_key = matches!(&parts[..], [arn, partition, kms, region, account, rest]
        if *arn == "arn" && is_partition(partition) && *kms == "kms" && is_region(region)
            && !account.is_empty() && all_digits(account) && rest.starts_with("key/"));
    if !is_key {
        let allowed =
            "a KMS key's ARN such as arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab";
        field.refuse(report, allowed);
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn shares(schedule: &Object<'_>, report: &mut Report) -> Vec<Share> {
    let Some(field) = schedule.get("ShareRules") else { return Vec::new() };
    let entries = field.list(report, 0..=MAX_SHARE_RULES);
    entries.iter().filter_map(|entry| share(entry, report)).collect()
}

fn share(entry: &At<'_>, report: &mut Report) -> Option<Share> {
    const UNSHARE: [&str; 2] = ["UnshareInterval", "UnshareIntervalUnit"];
    let rule = entry.object(report, &["TargetAccounts", UNSHARE[0], UNSHARE[1]])?;
    let mut seen = BTreeSet::new();
    let field = rule.need(report, "TargetAccounts", "a list of account ids");
    let accounts = field.map(|field| {
        let mut accounts = Vec::new();
        for entry in field.list(report, 1..=MAX_ACCOUNTS) {
            let Some(text) = entry.text(report) else { continue };
            if text.len() != ACCOUNT_DIGITS || !all_digits(text) {
                entry.refuse(report, "an account id of 12 digits");
            } else if !seen.insert(text) {
                entry.refuse(report, "each account once");
            } else {
                accounts.push(text.to_owned());
            }
        }
        accounts
    });
    let unshare = UNSHARE.iter().any(|name| rule.get(name).is_some());
    let unshare = unshare.then(|| retain::age(&rule, UNSHARE, report));
    Some(Share {
        accounts: accounts?,
        unshare_after: unshare.map_or(Some(None), |age| age.map(Some))?,
    })
}

fn is_partition(text: &str) -> bool {
    let mut parts = text.split('-');
    let rest = |part: &str| (1..=3).contains(&part.len()) && all_lower(part);
    parts.next() == Some("aws") && parts.clone().count() <= 2 && parts.all(rest)
}

/// Two or three words and a number, as `eu-west-1` and `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let words: Vec<&str> = words.split('-').collect();
    text.len() <= MAX_REGION_CHARS
        && number.len() == 1
        && all_digits(number)
        && (2..=3).contains(&words.len())
        && words.iter().all(|word| all_lower(word))
}

fn is_zone_name(text: &str) -> bool {
    text.len() <= MAX_REGION_CHARS
        && text.ends_with(|c: char| c.is_ascii_lowercase())
        && text.get(..text.len() - 1).is_some_and(is_region)
}

/// `use1-az1`: three or four letters, a digit, and the zone's number.
fn is_zone_id(text: &str) -> bool {
    let Some((region, zone)) = text.split_once("-az") else { return false };
    let letters = region.trim_end_matches(|c: char| c.is_ascii_digit());
    (3..=4).contains(&letters.len())
        && all_lower(letters)
        && region.len() == letters.len() + 1
        && !zone.is_empty()
        && all_digits(zone)
        && text.len() <= MAX_REGION_CHARS
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn all_lower(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}
