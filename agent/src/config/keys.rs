//! The text of `agent.toml`: its keys, what each may be, and what to say of one that is
//! not. Pure: a text in, settings or all that is wrong out.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::{Config, OnFailure, Unfreezable};
use crate::apps::wanted::{self, Wanted};
use crate::cli::{DEADLINE_MAX, DEADLINE_MIN, TIMEOUT_MAX, TIMEOUT_MIN, bounds, time};

const HOOK_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const HOOK_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// As long as a flush pass that nothing would shorten any more.
const STALL_MIN: Duration = Duration::from_millis(10);
/// A writer that is held for longer is a hang to whoever waits for it.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Every key of the file.
pub const KEYS: [&str; 20] = [
    "freeze.deadline",
    "freeze.timeout",
    "freeze.expedited_rcu",
    "freeze.systemd",
    "freeze.leave_out",
    "freeze.unfreezable",
    "flush.stall_budget",
    "hooks.enabled",
    "hooks.timeout",
    "hooks.on_failure",
    "applications.also",
    "mysql.user",
    "mysql.password_file",
    "redis.user",
    "redis.password_file",
    "mongodb.user",
    "mongodb.password_file",
    "sqlserver.user",
    "sqlserver.password_file",
    "saphana.user_key",
];

/// Reads the text of the file.
///
/// # Errors
/// A sentence for each problem: line, key, what was found, what is allowed.
pub fn parse(text: &str) -> Result<Config, Vec<String>> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(1, |span| line(span.start));
        vec![format!("line {at}: {}", error.message())]
    })?;
    let (mut config, mut problems) = (Config::default(), Vec::new());
    let mut rest = vec![(String::new(), table.get_ref())];
    while let Some((above, table)) = rest.pop() {
        for (key, value) in table {
            let name = format!("{above}{}", key.get_ref());
            let inner = format!("{name}.");
            let is_table = KEYS.iter().any(|known| known.starts_with(&inner));
            match value.get_ref() {
                DeValue::Table(table) if is_table => rest.push((inner, table)),
                found => {
                    if let Err(why) = set(&mut config, &name, found) {
                        let (at, found) = (line(key.span().start), &text[value.span()]);
                        problems.push(format!("line {at}: {name} = {found}: {why}"));
                    }
                }
            }
        }
    }
    problems.sort();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Sets one key, or says what is allowed.
fn set(config: &mut Config, name: &str, value: &DeValue<'_>) -> Result<(), String> {
    match name {
        "freeze.deadline" => config.deadline = span(value, DEADLINE_MIN, DEADLINE_MAX)?,
        "freeze.timeout" => config.timeout = span(value, TIMEOUT_MIN, TIMEOUT_MAX)?,
        "freeze.expedited_rcu" => config.expedited_rcu = switch(value)?,
        "freeze.systemd" => config.systemd = switch(value)?,
        "freeze.leave_out" => config.leave_out = mount_points(value)?,
        "freeze.unfreezable" => {
            let words = [("refuse", Unfreezable::Refuse), ("flush", Unfreezable::Flush)];
            config.unfreezable = word(value, words)?;
        }
        "flush.stall_budget" => config.stall_budget = span(value, STALL_MIN, STALL_MAX)?,
        "hooks.enabled" => config.hooks.enabled = switch(value)?,
        "hooks.timeout" => config.hooks.timeout = span(value, HOOK_TIMEOUT_MIN, HOOK_TIMEOUT_MAX)?,
        "hooks.on_failure" => {
            let words = [("fail", OnFailure::Fail), ("ignore", OnFailure::Ignore)];
            config.hooks.on_failure = word(value, words)?;
        }
        "applications.also" => config.also = applications(value)?,
        "mysql.user" => config.mysql.user = text(value)?,
        "mysql.password_file" => config.mysql.password_file = path(value)?,
        "redis.user" => config.redis.user = text(value)?,
        "redis.password_file" => config.redis.password_file = path(value)?,
        "mongodb.user" => config.mongodb.user = text(value)?,
        "mongodb.password_file" => config.mongodb.password_file = path(value)?,
        "sqlserver.user" => config.sqlserver.user = text(value)?,
        "sqlserver.password_file" => config.sqlserver.password_file = path(value)?,
        "saphana.user_key" => config.saphana_key = text(value)?,
        _ => return Err(format!("there is no such key; there are {}", KEYS.join(", "))),
    }
    Ok(())
}

fn span(value: &DeValue<'_>, min: Duration, max: Duration) -> Result<Duration, String> {
    let read = value.as_str().and_then(|text| time(text, min, max));
    read.ok_or_else(|| format!("allowed is a text such as \"5s\", {}", bounds(min, max)))
}

fn switch(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "allowed is true or false".into())
}

fn word<T: Copy>(value: &DeValue<'_>, words: [(&str, T); 2]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
    let allowed = || format!("allowed is {:?} or {:?}", words[0].0, words[1].0);
    found.map(|(_, means)| *means).ok_or_else(allowed)
}

/// A login's name; empty for the usual one.
fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.contains(['\0', '\n']));
    text.map(str::to_owned).ok_or_else(|| "allowed is a text of one line".into())
}

/// A file; empty for none.
fn path(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(path) if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        _ => Err("allowed is the path of a file, beginning with a slash".into()),
    }
}

fn applications(value: &DeValue<'_>) -> Result<Vec<Wanted>, String> {
    let each = |list: &toml::de::DeArray<'_>| {
        let names = list.iter().map(|one| one.get_ref().as_str());
        names.map(|name| name.and_then(|name| wanted::parse(name).ok())).collect()
    };
    let allowed = || format!("allowed is a list of {}", wanted::NAMES.join(", "));
    value.as_array().and_then(each).ok_or_else(allowed)
}

fn mount_points(value: &DeValue<'_>) -> Result<Vec<PathBuf>, String> {
    let point = |path: &str| path.starts_with('/').then(|| PathBuf::from(path));
    let each = |list: &toml::de::DeArray<'_>| {
        list.iter().map(|one| one.get_ref().as_str().and_then(point)).collect()
    };
    value
        .as_array()
        .and_then(each)
        .ok_or_else(|| "allowed is a list of mount points, each beginning with a slash".into())
}
