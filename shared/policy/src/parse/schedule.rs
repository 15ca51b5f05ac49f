//! One schedule: its name, tags and rules.
//!
//! Deprecation is for AMIs and archiving for policies that target volumes, as in DLM.

use super::{after, create_rule, is_plain, retain, script, tags};
use crate::json::Json;
use crate::policy::{CreateRule, Schedule, Script};
use crate::reader::{At, Object};
use crate::report::Report;

const MAX_NAME_CHARS: usize = 120;

const FIELDS: [&str; 11] = [
    "Name",
    "CopyTags",
    "TagsToAdd",
    "VariableTags",
    "CreateRule",
    "RetainRule",
    "FastRestoreRule",
    "CrossRegionCopyRules",
    "ShareRules",
    "DeprecateRule",
    "ArchiveRule",
];

const CREATE_RULE_FIELDS: [&str; 6] =
    ["Location", "Interval", "IntervalUnit", "Times", "CronExpression", "Scripts"];

pub(super) fn read(entry: &At<'_>, index: usize, report: &mut Report) -> Option<Schedule> {
    let schedule = entry.object(report, &FIELDS)?;
    if let Some(field) = schedule.get("Name")
        && let Some(text) = field.text_of(report, 1..=MAX_NAME_CHARS)
        && !is_plain(text)
    {
        field.refuse(report, "letters, digits, spaces, _ and -");
    }
    let copy_tags = schedule.boolean_or(report, "CopyTags", false);
    if copy_tags
        && script::is_vss(entry)
        && let Some(field) = schedule.get("CopyTags")
    {
        field.refuse(report, "false: AWS_VSS_BACKUP does not copy tags");
    }
    let (tags_to_add, variable_tags) = tags::read_snapshot_tags(&schedule, report);
    let fast_restore =
        schedule.get("FastRestoreRule").map(|_| after::fast_restore(&schedule, report));
    let copies = after::copies(&schedule, report);
    let shares = after::shares(&schedule, report);
    schedule.absent(report, "DeprecateRule", "only AMI policies have it");
    schedule.absent(
        report,
        "ArchiveRule",
        "DLM archives only for policies that target volumes; keep sets longer with RetainRule, or \
         archive with EC2's ModifySnapshotTier",
    );
    let (create_rule, script) = read_create_rule(&schedule, report);
    let retain = schedule
        .need(report, "RetainRule", "an object with Count, or Interval and IntervalUnit")
        .and_then(|field| retain::read(&field, report));
    let schedule = Schedule {
        name: name_of(entry, index).unwrap_or_default(),
        copy_tags,
        tags_to_add,
        variable_tags,
        create_rule: create_rule?,
        script,
        retain: retain?,
        fast_restore: fast_restore.map_or(Some(None), |rule| rule.map(Some))?,
        copies,
        shares,
    };
    retain::check_within(&schedule, &entry.path, report);
    Some(schedule)
}

/// The name it has or, where it has none, the one that DLM's console would have given it.
pub(super) fn name_of(entry: &At<'_>, index: usize) -> Option<String> {
    match entry.field("Name").map(|field| field.json) {
        Some(Json::Text(name)) => Some(name.clone()),
        Some(_) => None,
        None => Some(format!("Schedule {}", index + 1)),
    }
}

fn read_create_rule(
    schedule: &Object<'_>,
    report: &mut Report,
) -> (Option<CreateRule>, Option<Script>) {
    let allowed = "an object with CronExpression, or Interval, IntervalUnit and Times";
    let Some(field) = schedule.need(report, "CreateRule", allowed) else { return (None, None) };
    let Some(rule) = field.object(report, &CREATE_RULE_FIELDS) else { return (None, None) };
    let create_rule = create_rule::read(&rule, report);
    (create_rule, script::read(&rule, report))
}
