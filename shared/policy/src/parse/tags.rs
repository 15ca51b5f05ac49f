//! Lists of tags: those that select, and those that snapshots get.
//!
//! What a snapshot gets has to be something that CreateSnapshots will take, for it would be
//! refused there while something is frozen.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::json::quoted;
use crate::policy::{Tag, Variable, VariableTag};
use crate::reader::{At, Object};
use crate::report::Report;

/// EC2's limits for a tag.
const KEY_CHARS: RangeInclusive<usize> = 1..=128;
const VALUE_CHARS: RangeInclusive<usize> = 0..=256;
/// DLM keeps five of a snapshot's fifty tags for itself.
const MAX_ADDED_TAGS: usize = 45;
/// EC2's own keys, and the ones that every snapshot of ours has already.
const RESERVED_PREFIXES: [&str; 2] = ["aws:", "stillpoint:"];

/// Tags that select: the same key may stand there with several values, the same tag only once.
pub(super) fn read(field: &At<'_>, report: &mut Report, length: RangeInclusive<usize>) -> Vec<Tag> {
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for entry in field.list(report, length) {
        let Some(tag) = read_one(&entry, report) else { continue };
        if seen.insert(tag.clone()) {
            tags.push(tag);
        } else {
            let found = format!("{}={} again", quoted(&tag.key), quoted(&tag.value));
            report.add(entry.path, found, "each tag once");
        }
    }
    tags
}

/// TagsToAdd and VariableTags of a schedule, which share the keys of one snapshot.
pub(super) fn read_snapshot_tags(
    schedule: &Object<'_>,
    report: &mut Report,
) -> (Vec<Tag>, Vec<VariableTag>) {
    let mut keys = BTreeSet::new();
    let mut added = Vec::new();
    let mut variable = Vec::new();
    if let Some(field) = schedule.get("TagsToAdd") {
        for entry in field.list(report, 0..=MAX_ADDED_TAGS) {
            let Some(tag) = read_one(&entry, report) else { continue };
            if key_is_free(&entry, &tag.key, &mut keys, report) {
                added.push(tag);
            }
        }
    }
    if let Some(field) = schedule.get("VariableTags") {
        for entry in field.list(report, 0..=MAX_ADDED_TAGS) {
            let Some(tag) = read_one(&entry, report) else { continue };
            let read = match tag.value.as_str() {
                "$(instance-id)" => Variable::InstanceId,
                "$(timestamp)" => Variable::Timestamp,
                _ => {
                    let path = format!("{}.Value", entry.path);
                    report.add(path, quoted(&tag.value), "$(instance-id) or $(timestamp)");
                    continue;
                }
            };
            if key_is_free(&entry, &tag.key, &mut keys, report) {
                variable.push(VariableTag { key: tag.key, variable: read });
            }
        }
        if added.len() + variable.len() > MAX_ADDED_TAGS {
            let found = format!("{} with TagsToAdd", added.len() + variable.len());
            report.add(field.path, found, format!("at most {MAX_ADDED_TAGS} tags together"));
        }
    }
    (added, variable)
}

fn key_is_free(
    entry: &At<'_>,
    key: &str,
    keys: &mut BTreeSet<String>,
    report: &mut Report,
) -> bool {
    let path = format!("{}.Key", entry.path);
    let lower = key.to_ascii_lowercase();
    if RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        report.add(path, quoted(key), "a key that does not start with aws: or stillpoint:");
        return false;
    }
    if !keys.insert(key.to_owned()) {
        report.add(path, format!("{} again", quoted(key)), "each key once on a snapshot");
        return false;
    }
    true
}

fn read_one(entry: &At<'_>, report: &mut Report) -> Option<Tag> {
    let tag = entry.object(report, &["Key", "Value"])?;
    let key = tag.need(report, "Key", "a tag key").and_then(|field| {
        let text = field.text_of(report, KEY_CHARS)?;
        if text.contains(['\\', '=']) {
            field.refuse(report, "a key without \\ and =");
            return None;
        }
        Some(text)
    });
    let value = tag.need(report, "Value", "a tag value, which may be empty");
    let value = value.and_then(|field| field.text_of(report, VALUE_CHARS));
    Some(Tag { key: key?.to_owned(), value: value?.to_owned() })
}
