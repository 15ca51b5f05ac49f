//! Finds InterSystems IRIS instances, on the host and in containers, and every folder that
//! one writes to: its own, and those of its parameter file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::apps::iris::Instance;
use crate::apps::vendor;

/// Asked before anything is held.
const PATIENCE: Duration = Duration::from_secs(3);
const CONTAINERS: [&str; 2] = ["docker", "podman"];

/// Where an instance writes.
#[derive(Debug)]
pub(super) struct Folders {
    pub(super) all: Vec<PathBuf>,
    pub(super) journal: Option<PathBuf>,
}

/// Every running instance.
pub(super) fn instances() -> Result<Vec<Instance>, String> {
    let mut found = listed(&[])?;
    for program in CONTAINERS {
        let words = [program, "ps", "--format", "{{.Names}}\t{{.Image}}"].map(str::to_owned);
        let Ok(ended) = vendor::command(&words, Path::new("/"))
            .and_then(|command| vendor::run(command, PATIENCE))
        else {
            continue;
        };
        let iris = |line: &str| {
            let (name, image) = line.split_once('\t')?;
            image.contains("iris").then(|| name.to_owned())
        };
        for name in ended.output.lines().filter_map(iris) {
            found.extend(listed(&[program.into(), "exec".into(), name])?);
        }
    }
    Ok(found)
}

fn listed(within: &[String]) -> Result<Vec<Instance>, String> {
    let words: Vec<String> =
        within.iter().cloned().chain(["iris".into(), "qlist".into()]).collect();
    let asked =
        vendor::command(&words, Path::new("/")).and_then(|command| vendor::run(command, PATIENCE));
    match asked {
        Ok(ended) => Ok(parse(&ended.output, within)),
        // Where the program is not there, nothing of it runs.
        Err(_) if within.is_empty() => Ok(Vec::new()),
        Err(why) => Err(why),
    }
}

/// The running instances of `iris qlist`: name, folder, version and state are the first of
/// the fields, which are separated by `^`.
#[must_use]
pub fn parse(text: &str, within: &[String]) -> Vec<Instance> {
    let instance = |line: &str| {
        let fields: Vec<&str> = line.trim().split('^').collect();
        let [name, folder, version, state, ..] = fields.as_slice() else { return None };
        state.starts_with("running").then(|| Instance {
            name: (*name).to_owned(),
            folder: PathBuf::from(folder),
            version: (*version).to_owned(),
            within: within.to_vec(),
        })
    };
    text.lines().filter_map(instance).collect()
}

pub(super) fn folders(instance: &Instance) -> Result<Folders, String> {
    let Some((program, name)) = instance.within.first().zip(instance.within.last()) else {
        let cpf = instance.folder.join("iris.cpf");
        let text =
            fs::read_to_string(&cpf).map_err(|error| format!("{}: {error}", cpf.display()))?;
        return Ok(settings(&text, &instance.folder));
    };
    // What a container keeps is on what is mounted into it.
    let format = "{{range .Mounts}}{{println .Source}}{{end}}";
    let words = [program, "inspect", "--format", format, name].map(str::to_owned);
    let ended = vendor::run(vendor::command(&words, Path::new("/"))?, PATIENCE)?;
    let all: Vec<PathBuf> =
        ended.output.lines().filter(|line| line.starts_with('/')).map(PathBuf::from).collect();
    if ended.code != 0 || all.is_empty() {
        return Err(format!("container {name} has no volume: {}", ended.word()));
    }
    Ok(Folders { all, journal: None })
}

/// The folders of a parameter file: databases, journals and the write image journal.
#[must_use]
pub(super) fn settings(cpf: &str, own: &Path) -> Folders {
    let (mut section, mut all, mut journal) = ("", vec![own.to_owned()], None);
    for line in cpf.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        // Further fields of a database say how it is mounted.
        let path = value.split(',').next().unwrap_or_default();
        let is_folder = match section {
            "Databases" => true,
            "Journal" => matches!(key, "CurrentDirectory" | "AlternateDirectory"),
            "config" => key == "wijdir",
            _ => false,
        };
        if is_folder && path.starts_with('/') {
            if key == "CurrentDirectory" {
                journal = Some(PathBuf::from(path));
            }
            all.push(PathBuf::from(path));
        }
    }
    Folders { all, journal }
}
