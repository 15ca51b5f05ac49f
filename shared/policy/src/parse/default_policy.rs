//! Default policies (PolicyLanguage SIMPLIFIED): no schedules, no target tags, one interval.
//!
//! DLM's default policy for instances registers an AMI of each; here each instance gets the
//! snapshot set that such an AMI would stand on. The one for volumes is refused by name.

use super::{after, tags};
use crate::cron::Cron;
use crate::policy::{CreateRule, DefaultPolicy, Policy, Schedule, State};
use crate::reader::{At, Object};
use crate::report::Report;
use crate::rules::{Age, RegionCopy, Retain, RetainUnit};
use crate::settings::Settings;

/// Fields that only a default policy has.
pub(super) const FIELDS: [&str; 7] = [
    "ResourceType",
    "CreateInterval",
    "RetainInterval",
    "CopyTags",
    "CrossRegionCopyTargets",
    "ExtendDeletion",
    "Exclusions",
];
/// Fields that only custom and event-based policies have.
const CUSTOM_FIELDS: [&str; 6] =
    ["ResourceLocations", "TargetTags", "Schedules", "Parameters", "EventSource", "Actions"];
/// What snapshots and requests call the one schedule of a default policy.
const SCHEDULE_NAME: &str = "Default";
const CREATE_DAYS: std::ops::RangeInclusive<u32> = 1..=7;
const DEFAULT_CREATE_DAYS: u32 = 1;
const RETAIN_DAYS: std::ops::RangeInclusive<u32> = 2..=14;
const DEFAULT_RETAIN_DAYS: u32 = 7;
const MAX_COPY_TARGETS: usize = 3;
const MAX_EXCLUDE_TAGS: usize = 50;
const MAX_VOLUME_TYPES: usize = 6;

pub(super) fn read(details: &Object<'_>, report: &mut Report) -> Option<Policy> {
    if let Some(field) = details.get("PolicyType") {
        field.one_of(report, &[("EBS_SNAPSHOT_MANAGEMENT", ()), ("IMAGE_MANAGEMENT", ())]);
    }
    for name in ["ResourceType", "ResourceTypes"] {
        let Some(field) = details.get(name) else { continue };
        let entries = if name == "ResourceType" { vec![field] } else { field.list(report, 1..=1) };
        for entry in entries {
            target(&entry, report);
        }
    }
    if details.get("ResourceTypes").is_none() {
        details.need(report, "ResourceType", "INSTANCE");
    }
    for name in CUSTOM_FIELDS {
        details.absent(report, name, "a default policy (PolicyLanguage SIMPLIFIED) has none");
    }
    let days = |name: &str, range, default, report: &mut Report| match details.get(name) {
        Some(field) => field.whole(report, range, "(days)"),
        None => Some(default),
    };
    let create_days = days("CreateInterval", CREATE_DAYS, DEFAULT_CREATE_DAYS, report);
    let retain_days = days("RetainInterval", RETAIN_DAYS, DEFAULT_RETAIN_DAYS, report);
    if let (Some(create), Some(retain)) = (create_days, retain_days)
        && retain <= create
    {
        let path = "PolicyDetails.RetainInterval";
        report.add(
            path,
            retain.to_string(),
            format!("more than CreateInterval, which is {create}"),
        );
    }
    let copy_tags = details.boolean_or(report, "CopyTags", false);
    let extend_deletion = details.boolean_or(report, "ExtendDeletion", false);
    let exclude_tags = exclusions(details, report);
    let kept = Age { interval: retain_days?, unit: RetainUnit::Days };
    let copies = copies(details, kept, report);
    let schedule = Schedule {
        name: SCHEDULE_NAME.into(),
        copy_tags,
        tags_to_add: Vec::new(),
        variable_tags: Vec::new(),
        // Every day, also for longer intervals: an instance that was missed is not left for days.
        create_rule: CreateRule::Interval {
            every_hours: 24,
            time_given: false,
            cron: Cron::every(24, 0, 0),
        },
        script: None,
        retain: Retain::Age(kept),
        fast_restore: None,
        copies,
        shares: Vec::new(),
    };
    Some(Policy {
        id: String::new(),
        state: State::Enabled,
        status_message: None,
        description: None,
        target_tags: Vec::new(),
        default_policy: Some(DefaultPolicy {
            create_interval_days: create_days?,
            exclude_tags,
            extend_deletion,
        }),
        schedules: vec![schedule],
        exclude_boot_volume: false,
        exclude_data_volume_tags: Vec::new(),
        settings: Settings::default(),
    })
}

fn target(entry: &At<'_>, report: &mut Report) {
    if entry.one_of(report, &[("INSTANCE", true), ("VOLUME", false)]) == Some(false) {
        entry.refuse(
            report,
            "INSTANCE (nothing is made of single volumes here; it covers every attached volume, \
             and DLM goes on with the volumes that are not attached)",
        );
    }
}

/// DLM has two of the three for its policy of volumes only.
fn exclusions(details: &Object<'_>, report: &mut Report) -> Vec<crate::Tag> {
    let known = ["ExcludeBootVolumes", "ExcludeVolumeTypes", "ExcludeTags"];
    let Some(field) = details.get("Exclusions") else { return Vec::new() };
    let Some(exclusions) = field.object(report, &known) else { return Vec::new() };
    let volumes_only = "only the default policy for volumes has it";
    if let Some(field) = exclusions.get("ExcludeBootVolumes")
        && field.boolean(report) == Some(true)
    {
        field.refuse(report, format!("false: {volumes_only}"));
    }
    if let Some(field) = exclusions.get("ExcludeVolumeTypes") {
        let types = field.list(report, 0..=MAX_VOLUME_TYPES);
        for entry in &types {
            entry.text(report);
        }
        exclusions.absent(report, "ExcludeVolumeTypes", volumes_only);
    }
    let tags = exclusions.get("ExcludeTags");
    tags.map(|field| tags::read(&field, report, 0..=MAX_EXCLUDE_TAGS)).unwrap_or_default()
}

/// The same retention, the source's encryption, the default key.
fn copies(details: &Object<'_>, kept: Age, report: &mut Report) -> Vec<RegionCopy> {
    let Some(field) = details.get("CrossRegionCopyTargets") else { return Vec::new() };
    let mut copies: Vec<RegionCopy> = Vec::new();
    for entry in field.list(report, 0..=MAX_COPY_TARGETS) {
        let Some(target) = entry.object(report, &["TargetRegion"]) else { continue };
        let region = target.need(report, "TargetRegion", "a Region");
        let Some(region) = region.and_then(|field| after::region(&field, report)) else { continue };
        if copies.iter().any(|copy| copy.target_region == region) {
            report.add(entry.path, format!("{region} again"), "each Region once");
            continue;
        }
        copies.push(RegionCopy {
            target_region: region,
            encrypted: false,
            cmk_arn: None,
            copy_tags: false,
            retain: Some(kept),
        });
    }
    copies
}
