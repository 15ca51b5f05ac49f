//! PolicyDetails: which kind of policy it is, what it targets, and its schedules.
//!
//! Refuses by name what is not run here (policies for AMIs, volumes, Outposts and Local Zones, and
//! event-based ones), with what to use instead, and checks what holds between schedules.

use std::collections::BTreeMap;

use super::{default_policy, schedule, script, tags};
use crate::json::{Json, quoted};
use crate::policy::{Policy, Schedule, State, Tag};
use crate::reader::{At, Object};
use crate::report::Report;
use crate::rules::Retain;
use crate::settings::Settings;

const MAX_TARGET_TAGS: usize = 50;
const MAX_EXCLUDE_DATA_VOLUME_TAGS: usize = 50;
const MAX_SCHEDULES: usize = 4;

pub(super) const FIELDS: [&str; 16] = [
    "PolicyType",
    "PolicyLanguage",
    "ResourceTypes",
    "ResourceLocations",
    "TargetTags",
    "Schedules",
    "Parameters",
    "EventSource",
    "Actions",
    "ResourceType",
    "CreateInterval",
    "RetainInterval",
    "CopyTags",
    "CrossRegionCopyTargets",
    "ExtendDeletion",
    "Exclusions",
];

/// Reads the details; the fields of the Policy object around them are left for the caller.
pub(super) fn read(details: &Object<'_>, report: &mut Report) -> Option<Policy> {
    match kind(details, report) {
        Kind::Custom => {}
        Kind::Default => return default_policy::read(details, report),
        // It has other fields; what else is said about this one would mislead.
        Kind::NotRun => return None,
    }
    read_targets(details, report);
    for name in default_policy::FIELDS {
        details.absent(report, name, "only default policies (PolicyLanguage SIMPLIFIED) have it");
    }
    for name in ["EventSource", "Actions"] {
        details.absent(report, name, "only event-based policies have it");
    }
    let target_tags = details
        .need(report, "TargetTags", "1 to 50 tags")
        .map(|field| tags::read(&field, report, 1..=MAX_TARGET_TAGS));
    let parameters = read_parameters(details, report);
    let (exclude_boot_volume, exclude_data_volume_tags) = parameters;
    let schedules = details.need(report, "Schedules", "1 to 4 schedules").map(|field| {
        let entries = field.list(report, 1..=MAX_SCHEDULES);
        let read = |(index, entry): (usize, &At<'_>)| schedule::read(entry, index, report);
        let read: Vec<Option<Schedule>> = entries.iter().enumerate().map(read).collect();
        check_names(&entries, report);
        check_retention(&entries, &read, report);
        check_vss(details, &entries, report);
        read
    })?;
    Some(Policy {
        id: String::new(),
        state: State::Enabled,
        status_message: None,
        description: None,
        target_tags: target_tags?,
        default_policy: None,
        schedules: schedules.into_iter().collect::<Option<Vec<Schedule>>>()?,
        exclude_boot_volume,
        exclude_data_volume_tags,
        settings: Settings::default(),
    })
}

enum Kind {
    Custom,
    Default,
    NotRun,
}

fn kind(details: &Object<'_>, report: &mut Report) -> Kind {
    let is = |name: &str, value: &str| {
        details
            .get(name)
            .is_some_and(|field| matches!(field.json, Json::Text(text) if text == value))
    };
    let not_run = [
        (
            "EVENT_BASED_POLICY",
            "EBS_SNAPSHOT_MANAGEMENT (DLM goes on copying what others share with you; copies of \
             your own sets are CrossRegionCopyRules of a schedule)",
        ),
        (
            "IMAGE_MANAGEMENT",
            "EBS_SNAPSHOT_MANAGEMENT with ResourceTypes [\"INSTANCE\"] (no AMIs are registered \
             here; a snapshot set of the same instance is restored to an instance without one)",
        ),
    ];
    if is("PolicyType", not_run[0].0) {
        refuse(details, report, not_run[0].1);
        return Kind::NotRun;
    }
    // DLM's default policy for instances is a policy for AMIs.
    if is("PolicyLanguage", "SIMPLIFIED") {
        return Kind::Default;
    }
    if is("PolicyType", not_run[1].0) {
        refuse(details, report, not_run[1].1);
        return Kind::NotRun;
    }
    if let Some(field) = details.get("PolicyType") {
        field.one_of(report, &[("EBS_SNAPSHOT_MANAGEMENT", ())]);
    }
    if let Some(field) = details.get("PolicyLanguage") {
        field.one_of(report, &[("STANDARD", ()), ("SIMPLIFIED", ())]);
    }
    Kind::Custom
}

fn refuse(details: &Object<'_>, report: &mut Report, instead: &str) {
    if let Some(field) = details.get("PolicyType") {
        field.refuse(report, instead);
    }
}

fn read_targets(details: &Object<'_>, report: &mut Report) {
    if let Some(field) = details.need(report, "ResourceTypes", "[\"INSTANCE\"]") {
        for entry in field.list(report, 1..=1) {
            if entry.one_of(report, &[("INSTANCE", true), ("VOLUME", false)]) == Some(false) {
                entry.refuse(
                    report,
                    "INSTANCE (nothing is made of single volumes here; tag the instances that the \
                     volumes are attached to, and narrow the sets with ExcludeBootVolume and \
                     ExcludeDataVolumeTags; DLM goes on with volumes that are not attached)",
                );
            }
        }
    }
    if let Some(field) = details.get("ResourceLocations") {
        let places = [("CLOUD", true), ("OUTPOST", false), ("LOCAL_ZONE", false)];
        for entry in field.list(report, 1..=1) {
            if entry.one_of(report, &places) == Some(false) {
                entry.refuse(
                    report,
                    "CLOUD (sets are made in the Region only; leave resources on Outposts and in \
                     Local Zones to DLM)",
                );
            }
        }
    }
}

fn read_parameters(details: &Object<'_>, report: &mut Report) -> (bool, Vec<Tag>) {
    let known = ["ExcludeBootVolume", "ExcludeDataVolumeTags", "NoReboot"];
    let Some(parameters) = details.get("Parameters").and_then(|field| field.object(report, &known))
    else {
        return (false, Vec::new());
    };
    parameters.absent(report, "NoReboot", "only AMI policies have it");
    let exclude_tags = parameters
        .get("ExcludeDataVolumeTags")
        .map(|field| tags::read(&field, report, 0..=MAX_EXCLUDE_DATA_VOLUME_TAGS))
        .unwrap_or_default();
    (parameters.boolean_or(report, "ExcludeBootVolume", false), exclude_tags)
}

/// Snapshots, retention and requests find a schedule by its name.
fn check_names(entries: &[At<'_>], report: &mut Report) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(name) = schedule::name_of(entry, index) else { continue };
        if let Some(before) = seen.get(&name) {
            report.add(
                format!("{}.Name", entry.path),
                quoted(&name),
                format!("a name that Schedules[{before}] does not have"),
            );
        } else {
            seen.insert(name, index);
        }
    }
}

fn check_retention(entries: &[At<'_>], schedules: &[Option<Schedule>], report: &mut Report) {
    let by_count = |schedule: &Schedule| matches!(schedule.retain, Retain::Count(_));
    let name = |count| if count { "Count" } else { "Interval" };
    let Some(first) = schedules.iter().flatten().next().map(by_count) else { return };
    for (entry, schedule) in entries.iter().zip(schedules) {
        if let Some(schedule) = schedule
            && by_count(schedule) != first
        {
            report.add(
                format!("{}.RetainRule", entry.path),
                format!("{} beside a schedule with {}", name(!first), name(first)),
                "the same kind of retention in all schedules",
            );
        }
    }
}

fn check_vss(details: &Object<'_>, entries: &[At<'_>], report: &mut Report) {
    let Some(field) = details
        .get("Parameters")
        .and_then(|parameters| parameters.field("ExcludeDataVolumeTags"))
        .filter(|field| !field.is_empty_list())
    else {
        return;
    };
    if entries.iter().any(script::is_vss) {
        field.refuse(report, "nothing: AWS_VSS_BACKUP takes no excluded data volumes");
    }
}
