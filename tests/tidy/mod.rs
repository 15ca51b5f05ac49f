//! The structure that ARCHITECTURE.md promises, held true: which room may know which,
//! who names the SDK, how long a file is, and that each code has its page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file of the product is longer than this; most are half of it.
const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every crate of the workspace with the crates that it is built from.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let normal = |one: &&serde_json::Value| one["kind"].is_null();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let all = package["dependencies"].as_array().unwrap();
            (name(package), all.iter().filter(normal).map(name).collect())
        })
        .collect()
}

#[test]
fn the_arrows_between_rooms_are_those_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("stillpoint-policy", &[][..]),
        ("stillpoint-restore", &[]),
        ("stillpoint-retention", &[]),
        ("stillpoint-run", &[]),
        ("stillpoint-telemetry", &[]),
        ("stillpoint-wire", &["stillpoint-run"]),
        ("stillpoint-budget", &[]),
        (
            "stillpoint-drive",
            &["stillpoint-budget", "stillpoint-policy", "stillpoint-run", "stillpoint-wire"],
        ),
        (
            "stillpoint-upkeep",
            &[
                "stillpoint-drive",
                "stillpoint-policy",
                "stillpoint-restore",
                "stillpoint-retention",
                "stillpoint-wire",
            ],
        ),
        (
            "stillpoint-aws",
            &[
                "stillpoint-budget",
                "stillpoint-drive",
                "stillpoint-policy",
                "stillpoint-restore",
                "stillpoint-run",
                "stillpoint-upkeep",
                "stillpoint-wire",
            ],
        ),
        (
            "stillpoint-restorer",
            &[
                "stillpoint-aws",
                "stillpoint-restore",
                "stillpoint-telemetry",
                "stillpoint-upkeep",
                "stillpoint-wire",
            ],
        ),
        ("stillpoint-lifecycle", &["stillpoint-aws", "stillpoint-telemetry", "stillpoint-upkeep"]),
        ("stillpoint-reaper", &["stillpoint-aws", "stillpoint-telemetry", "stillpoint-upkeep"]),
        (
            "stillpoint-planner",
            &[
                "stillpoint-drive",
                "stillpoint-policy",
                "stillpoint-run",
                "stillpoint-telemetry",
                "stillpoint-wire",
            ],
        ),
        (
            "stillpoint-runner",
            &["stillpoint-drive", "stillpoint-run", "stillpoint-telemetry", "stillpoint-wire"],
        ),
        (
            "stillpoint-guard",
            &[
                "stillpoint-drive",
                "stillpoint-policy",
                "stillpoint-run",
                "stillpoint-runner",
                "stillpoint-telemetry",
                "stillpoint-wire",
            ],
        ),
        (
            "stillpoint-bootstrap",
            &[
                "stillpoint-aws",
                "stillpoint-guard",
                "stillpoint-lifecycle",
                "stillpoint-planner",
                "stillpoint-reaper",
                "stillpoint-restorer",
                "stillpoint-runner",
                "stillpoint-telemetry",
                "stillpoint-wire",
            ],
        ),
        ("stillpoint-agent", &["stillpoint-wire"]),
        (
            "stillpoint-cli",
            &[
                "stillpoint-aws",
                "stillpoint-budget",
                "stillpoint-planner",
                "stillpoint-policy",
                "stillpoint-restore",
                "stillpoint-retention",
                "stillpoint-run",
                "stillpoint-telemetry",
                "stillpoint-upkeep",
                "stillpoint-wire",
            ],
        ),
        (
            "stillpoint-sim",
            &[
                "stillpoint-agent",
                "stillpoint-budget",
                "stillpoint-drive",
                "stillpoint-guard",
                "stillpoint-planner",
                "stillpoint-policy",
                "stillpoint-run",
                "stillpoint-runner",
                "stillpoint-wire",
            ],
        ),
        ("stillpoint-tests", &[]),
    ]);
    for (room, needs) in dependencies() {
        let allowed = allowed.get(room.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{room} is not in the list of rooms"));
        let ours: Vec<_> = needs.iter().filter(|one| one.starts_with("stillpoint-")).collect();
        for need in &ours {
            assert!(allowed.contains(&need.as_str()), "{room} may not know {need}");
        }
        assert_eq!(ours.len(), allowed.len(), "{room}: an arrow in the list is not used");
    }
}

#[test]
fn only_one_room_names_the_sdk_and_the_pure_ones_name_no_world() {
    for (room, needs) in dependencies() {
        if room != "stillpoint-aws" {
            let sdk = needs.iter().find(|one| one.starts_with("aws-"));
            assert_eq!(sdk, None, "{room} names the SDK");
        }
        let pure = [
            "stillpoint-budget",
            "stillpoint-run",
            "stillpoint-policy",
            "stillpoint-restore",
            "stillpoint-retention",
            "stillpoint-wire",
        ];
        if pure.contains(&room.as_str()) {
            let world = needs.iter().find(|one| matches!(one.as_str(), "tokio" | "libc"));
            assert_eq!(world, None, "{room} names a world");
        }
        if room == "stillpoint-agent" {
            assert!(!needs.contains("tokio"), "the agent holds without an async runtime");
        }
    }
    for file in sources(&root().join("shared")) {
        let pure = [
            "shared/budget/",
            "shared/run/",
            "shared/policy/",
            "shared/restore/",
            "shared/retention/",
            "shared/upkeep/",
            "shared/wire/",
            "shared/drive/",
        ];
        if !pure.iter().any(|room| file.to_string_lossy().contains(room)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let banned =
            ["SystemTime", "Instant::now", "Timestamp::now", "std::env", "std::fs", "std::net"];
        for word in banned {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn no_file_of_the_product_is_a_room_with_more_than_one_job() {
    for room in ["shared", "functions", "agent", "cli"] {
        for file in sources(&root().join(room)) {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= LINES_MAX, "{}: {lines} lines", file.display());
        }
    }
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let source = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let rooms =
        ["shared/run/src/cause.rs", "shared/telemetry/src/code.rs", "shared/restore/src/code.rs"];
    let text: String = rooms.into_iter().map(source).collect();
    let codes: BTreeSet<String> = text
        .split('"')
        .filter(|word| word.len() == 6 && word.starts_with("SP"))
        .map(str::to_owned)
        .collect();
    assert!(codes.len() > 20, "{codes:?}");
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("docs/codes"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name.starts_with("SP"))
        .collect();
    assert_eq!(codes, pages);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_row_of_the_semantics_is_a_test_and_every_test_a_row() {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let semantics = read(&root().join("docs/SEMANTICS.md"));
    // The last two words in back quotes of a row: its test, and its scenario in the lab.
    let rows: Vec<(&str, &str)> = semantics
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .map(|line| {
            let mut quoted = line.rsplit('`').skip(1).step_by(2);
            let scenario = quoted.next().unwrap_or_default();
            (quoted.next().unwrap_or_default(), scenario)
        })
        .collect();
    let of = |path: &str| -> Vec<String> {
        let text = read(&root().join(path));
        let names = text.split("#[test]\nfn ").skip(1);
        names.filter_map(|rest| rest.split('(').next().map(str::to_owned)).collect()
    };
    let tables = ["tests/run/truth_table.rs", "tests/run/vss_table.rs"];
    let tests: BTreeSet<String> = tables.into_iter().flat_map(of).collect();
    assert!(tests.len() > 30, "{tests:?}");
    let named: BTreeSet<String> = rows.iter().map(|(test, _)| (*test).to_owned()).collect();
    assert_eq!(named, tests);
    let mut scenarios = String::new();
    for entry in std::fs::read_dir(root().join("tests/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "py") {
            scenarios += &read(&path);
        }
    }
    for (test, scenario) in rows {
        assert!(scenarios.contains(&format!("def {scenario}(")), "{test}: no scenario {scenario}");
    }
}

#[test]
fn every_row_of_retention_is_a_test_and_every_test_a_row() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let page = read("docs/RETENTION.md");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows: BTreeSet<String> =
        rows.filter_map(|line| line.rsplit('`').nth(1).map(str::to_owned)).collect();
    let files = std::fs::read_dir(root().join("tests/retention/rows")).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let text: String = texts.collect();
    let names = text.split("#[test]\nfn ").skip(1);
    let tests: BTreeSet<String> =
        names.filter_map(|rest| rest.split('(').next().map(str::to_owned)).collect();
    assert!(tests.len() > 30, "{tests:?}");
    assert_eq!(rows, tests);
}
