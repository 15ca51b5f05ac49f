//! `Stillpoint.Scripts`: what a schedule's script gets beyond DLM's fields, and whether it fits
//! the script that the schedule has.

use std::collections::BTreeMap;

use super::tags;
use crate::json::{Json, quoted};
use crate::policy::{Handler, Schedule};
use crate::reader::At;
use crate::report::Report;
use crate::settings::ScriptSettings;

const FIELDS: [&str; 6] = [
    "Schedule",
    "ExecutionTimeout",
    "Deadline",
    "DocumentParameters",
    "VssExcludeDataVolumeTags",
    "VssInstall",
];
const MAX_SCHEDULES: usize = 4;
/// One invocation of the runner (900 s) has to see an attempt to its end: the pre-script and the
/// post-script with each of its retries, 46 s around each, and a minute for what lies between.
const MAX_TIMEOUT_SECS: [u32; 4] = [300, 230, 160, 120];
const TIMEOUT_SECS: std::ops::RangeInclusive<u32> = 10..=800;
/// What the VSS documents take as executionTimeout, up to their own default.
const MIN_VSS_TIMEOUT_SECS: u32 = 120;
/// The parameters of the VSS documents that are the policy's to choose; all are True or False.
const VSS_PARAMETERS: [&str; 4] =
    ["CollectDiagnosticLogs", "CopyOnly", "NoWriters", "SaveVssMetadata"];
/// A version, of the document that installs the components.
const VSS_VERSION: &str = "VssVersion";
/// What the agent takes as `--deadline`; below five seconds no CreateSnapshots is answered.
const DEADLINE_SECS: std::ops::RangeInclusive<u32> = 5..=600;
const MAX_PARAMETERS: usize = 50;
const MAX_PARAMETER_VALUES: usize = 50;
/// DLM's own two, and those that documents of ours get from the run.
const TAKEN_PARAMETERS: [&str; 5] = ["executionId", "command", "timeout", "volumes", "deadline"];
/// Documents whose name begins like this take a deadline.
const OUR_DOCUMENTS: &str = "Stillpoint-";
const MAX_EXCLUDE_DATA_VOLUME_TAGS: usize = 50;

/// One entry, before it is known which schedule it is for.
#[derive(Debug)]
pub(super) struct Entry {
    path: String,
    /// All schedules with a script where none is named.
    schedule: Option<String>,
    settings: ScriptSettings,
}

pub(super) fn read(field: &At<'_>, report: &mut Report) -> Vec<Entry> {
    let entries = field.list(report, 0..=MAX_SCHEDULES);
    entries.iter().filter_map(|entry| read_one(entry, report)).collect()
}

fn read_one(entry: &At<'_>, report: &mut Report) -> Option<Entry> {
    let object = entry.object(report, &FIELDS)?;
    let schedule = match object.get("Schedule") {
        Some(field) => Some(field.text(report)?.to_owned()),
        None => None,
    };
    let timeout = object.get("ExecutionTimeout");
    let timeout = timeout.and_then(|field| field.whole(report, TIMEOUT_SECS, "(seconds)"));
    let deadline = object.get("Deadline");
    let deadline = deadline.and_then(|field| field.whole(report, DEADLINE_SECS, "(seconds)"));
    let parameters = object.get("DocumentParameters");
    let vss = object.get("VssExcludeDataVolumeTags");
    Some(Entry {
        path: entry.path.clone(),
        schedule,
        settings: ScriptSettings {
            timeout_secs: timeout,
            deadline_secs: deadline,
            parameters: parameters.map(|field| parameters_of(&field, report)).unwrap_or_default(),
            vss_exclude_data_volume_tags: vss
                .map(|field| tags::read(&field, report, 0..=MAX_EXCLUDE_DATA_VOLUME_TAGS))
                .unwrap_or_default(),
            vss_install: object.boolean_or(report, "VssInstall", false),
        },
    })
}

/// Names as SSM takes them, values as SendCommand does: a string, or a list of strings.
fn parameters_of(field: &At<'_>, report: &mut Report) -> BTreeMap<String, Vec<String>> {
    let Json::Object(entries) = field.json else {
        field.refuse(report, "an object: a string or a list of strings by parameter name");
        return BTreeMap::new();
    };
    if entries.len() > MAX_PARAMETERS {
        field.refuse(report, format!("at most {MAX_PARAMETERS} parameters"));
    }
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let mut parameters = BTreeMap::new();
    let Some(object) = field.object(report, &names) else { return parameters };
    for ((name, _), value) in entries.iter().zip(object.each()) {
        let plain = |c: char| c.is_ascii_alphanumeric();
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            report.add(value.path.clone(), quoted(name), "a name of letters and digits");
        } else if TAKEN_PARAMETERS.contains(&name.as_str()) {
            report.add(value.path.clone(), quoted(name), "another name: the run sends this one");
        } else if let Some(values) = values_of(&value, report) {
            parameters.insert(name.clone(), values);
        }
    }
    parameters
}

fn values_of(value: &At<'_>, report: &mut Report) -> Option<Vec<String>> {
    if let Json::Text(text) = value.json {
        return Some(vec![text.clone()]);
    }
    if !matches!(value.json, Json::List(_)) {
        value.refuse(report, "a string or a list of strings");
        return None;
    }
    let entries = value.list(report, 1..=MAX_PARAMETER_VALUES);
    entries.iter().map(|entry| entry.text(report).map(str::to_owned)).collect()
}

/// Gives each schedule its entry: the one that names it, else the one that names none.
pub(super) fn assign(
    entries: &[Entry],
    schedules: &[Schedule],
    report: &mut Report,
) -> BTreeMap<String, ScriptSettings> {
    let mut assigned = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let twin = entries[..index].iter().find(|other| other.schedule == entry.schedule);
        if let Some(twin) = twin {
            let found = entry
                .schedule
                .as_deref()
                .map_or("nothing again".into(), |name| format!("{} again", quoted(name)));
            let allowed = format!("a schedule that {} does not have", twin.path);
            report.add(format!("{}.Schedule", entry.path), found, allowed);
            continue;
        }
        let scripted: Vec<&Schedule> = schedules
            .iter()
            .filter(|schedule| schedule.script.is_some())
            .filter(|schedule| entry.schedule.as_ref().is_none_or(|name| *name == schedule.name))
            .collect();
        if scripted.is_empty() {
            let found = entry.schedule.as_deref().map_or("nothing".into(), quoted);
            let allowed = "the name of a schedule with Scripts; the policy has no such schedule";
            report.add(format!("{}.Schedule", entry.path), found, allowed);
        }
        for schedule in scripted {
            let named = entries.iter().any(|other| other.schedule.as_ref() == Some(&schedule.name));
            if entry.schedule.is_none() && named {
                continue;
            }
            check_fit(entry, schedule, report);
            assigned.insert(schedule.name.clone(), entry.settings.clone());
        }
    }
    assigned
}

fn check_fit(entry: &Entry, schedule: &Schedule, report: &mut Report) {
    let Some(script) = &schedule.script else { return };
    let mut refuse = |name: &str, found: String, allowed: String| {
        report.add(format!("{}.{name}", entry.path), found, allowed);
    };
    let vss = script.handler == Handler::Vss;
    let retries = script.retries;
    let longest = MAX_TIMEOUT_SECS.get(retries as usize).copied().unwrap_or(120);
    match entry.settings.timeout_secs {
        Some(timeout) if vss && timeout < MIN_VSS_TIMEOUT_SECS => {
            let allowed = format!("at least {MIN_VSS_TIMEOUT_SECS} with AWS_VSS_BACKUP");
            refuse("ExecutionTimeout", timeout.to_string(), allowed);
        }
        Some(timeout) if !vss && timeout > longest => {
            let allowed = format!("at most {longest} with MaximumRetryCount {retries}");
            refuse("ExecutionTimeout", timeout.to_string(), allowed);
        }
        _ => {}
    }
    let name = script.document.rsplit('/').next().unwrap_or_default();
    let ours = name.starts_with(OUR_DOCUMENTS);
    if script.handler != Handler::Vss && !ours && entry.settings.deadline_secs.is_some() {
        let found = format!("it for {name} of schedule {}", schedule.name);
        let allowed = "it for documents of Stillpoint; another may take it in DocumentParameters";
        refuse("Deadline", found, allowed.into());
    }
    if vss {
        check_vss_parameters(entry, &mut refuse);
    }
    if !vss && entry.settings.vss_install {
        let found = format!("true for schedule {}", schedule.name);
        refuse("VssInstall", found, "true with AWS_VSS_BACKUP only".into());
    }
    if !vss && !entry.settings.vss_exclude_data_volume_tags.is_empty() {
        let found = format!("it for schedule {}", schedule.name);
        let allowed = "it with AWS_VSS_BACKUP only; Parameters.ExcludeDataVolumeTags does the rest";
        refuse("VssExcludeDataVolumeTags", found, allowed.into());
    }
    if vss && entry.settings.deadline_secs.is_some() {
        let found = format!("it for schedule {}", schedule.name);
        refuse("Deadline", found, "nothing: VSS holds writes for at most 10 seconds".into());
    }
}

/// The VSS documents refuse what they do not know, and would do so at every firing.
fn check_vss_parameters(entry: &Entry, refuse: &mut impl FnMut(&str, String, String)) {
    let settings = &entry.settings;
    for (name, values) in &settings.parameters {
        let field = format!("DocumentParameters.{name}");
        let found = quoted(&values.join(", "));
        let boolean = matches!(&values[..], [value] if value == "True" || value == "False");
        if name == VSS_VERSION {
            let plain = |c: char| c.is_ascii_digit() || c == '.';
            let version = matches!(&values[..], [value] if value.len() <= 16
                && value.chars().all(plain));
            if !settings.vss_install {
                refuse(&field, found, "it beside VssInstall only".into());
            } else if !version {
                refuse(&field, found, "up to 16 digits and dots".into());
            }
        } else if !VSS_PARAMETERS.contains(&name.as_str()) {
            let allowed = format!("one of {}, {VSS_VERSION}", VSS_PARAMETERS.join(", "));
            refuse(&field, quoted(name), allowed);
        } else if !boolean {
            refuse(&field, found, "\"True\" or \"False\"".into());
        }
    }
    let on = |name: &str| settings.parameters.get(name).is_some_and(|all| all[0] == "True");
    if on("NoWriters") && on("SaveVssMetadata") {
        let found = quoted("True");
        refuse("DocumentParameters.SaveVssMetadata", found, "it without NoWriters".into());
    }
}
