//! The corpus of policies, `tests/fixtures/policies`, as golden tests: what each valid one is read
//! as, and each line that a wrong one is answered with.
//!
//! `NAME.json` has its answer in `NAME.golden`; `BLESS=1 cargo test policy::corpus` writes what it
//! is now, to be read before it is kept. `tests/policies_test.py` holds the valid ones against the
//! service's own model.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use stillpoint_policy::{INLINE_POLICY_ID, Policy, Schedule, parse};

/// A Wednesday.
const NOW: &str = "2026-11-25T12:00:00Z";
/// The names of those that are refused begin like this.
const WRONG: &str = "wrong-";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/policies")
}

/// Every policy: its name and its text.
pub(crate) fn policies() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(folder())
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect();
    found.sort();
    found
}

fn tell(policy: &Policy) -> String {
    let mut told = String::new();
    let mut line = |text: String| writeln!(told, "{text}").expect("a string");
    line(format!("state: {} {:?}", policy.state.name(), policy.status_message));
    match &policy.default_policy {
        Some(default) => line(format!("targets: {default:?}")),
        None => {
            line(format!("targets: {} tags, {:?}", policy.target_tags.len(), policy.target_tags[0]))
        }
    }
    line(format!(
        "without: boot volume {}, data volumes of {} tags",
        policy.exclude_boot_volume,
        policy.exclude_data_volume_tags.len()
    ));
    let settings = &policy.settings;
    line(format!(
        "zone: {}, begins within {} minutes, {:?}",
        settings.time_zone.iana_name().unwrap_or("?"),
        settings.start_within_minutes,
        settings.retention
    ));
    for window in &settings.blackouts {
        line(format!("blackout: {}", window.describe()));
    }
    for schedule in &policy.schedules {
        tell_schedule(policy, schedule, &mut line);
    }
    let next = policy.next_firings(NOW.parse().expect("a time"), 4);
    for firing in next {
        line(format!("next: {} {}", firing.at, firing.schedules.join(" + ")));
    }
    told
}

fn tell_schedule(policy: &Policy, schedule: &Schedule, line: &mut impl FnMut(String)) {
    line(format!("schedule {:?}: {}", schedule.name, schedule.create_rule.cron().text()));
    line(format!(
        "  tags: copied {}, {} added, {} variable",
        schedule.copy_tags,
        schedule.tags_to_add.len(),
        schedule.variable_tags.len()
    ));
    line(format!("  keeps: {:?}", schedule.retain));
    if let Some(script) = &schedule.script {
        line(format!("  script: {script:?}"));
    }
    if let Some(settings) = policy.settings.scripts.get(&schedule.name) {
        line(format!("  script settings: {settings:?}"));
    }
    if let Some(rule) = &schedule.fast_restore {
        line(format!("  fast restore: {rule:?}"));
    }
    for copy in &schedule.copies {
        line(format!("  copy: {copy:?}"));
    }
    for share in &schedule.shares {
        line(format!("  share: {share:?}"));
    }
}

#[test]
fn every_policy_is_answered_as_its_golden_file_says() {
    let bless = std::env::var_os("BLESS").is_some();
    let policies = policies();
    assert!(policies.len() >= 60, "{}", policies.len());
    let mut different = Vec::new();
    for (name, text) in policies {
        let answer = match parse(INLINE_POLICY_ID, &text) {
            Ok(policy) => {
                assert!(!name.starts_with(WRONG), "{name} is taken");
                tell(&policy)
            }
            Err(errors) => {
                let lines: Vec<String> = errors.iter().map(|error| format!("{error}\n")).collect();
                assert!(name.starts_with(WRONG), "{name} is refused: {lines:#?}");
                lines.concat()
            }
        };
        let golden = folder().join(format!("{name}.golden"));
        if bless {
            fs::write(&golden, &answer).expect("written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if answer != expected {
            different.push(format!("{name}\n--- expected\n{expected}--- found\n{answer}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn no_golden_file_is_left_over() {
    let names: Vec<String> = policies().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir(folder()).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(names.contains(&name), "{} belongs to no policy", path.display());
    }
}
