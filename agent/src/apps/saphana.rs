//! SAP HANA, every system of the host, by `hdbsql` and a key of the secure user store: an
//! internal snapshot of the whole system is prepared before the freeze and closed after
//! the thaw, by its backup id.
//!
//! Source: "BACKUP DATA ... CREATE SNAPSHOT" and "CLOSE SNAPSHOT" in the SQL reference. A
//! prepared snapshot survives sessions and the agent, grows, and blocks other backups: it is
//! on record until it is closed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application as Described;

use crate::apps::debts::{self, Debt};
use crate::apps::vendor;
use crate::apps::{Application, cover, procs};
use crate::cli::Call;
use crate::plan::Plan;

/// What the application is called in a receipt.
pub const NAME: &str = "saphana";
const PROCESS: &str = "hdbnameserver";
/// The key that the administrator has stored for us with `hdbuserstore`.
const KEY: &str = "STILLPOINT";
/// The environment of the system that its client needs.
const VARIABLES: [&str; 8] = [
    "HOME",
    "USER",
    "PATH",
    "LD_LIBRARY_PATH",
    "SAPSYSTEMNAME",
    "DIR_INSTANCE",
    "DIR_EXECUTABLE",
    "SAP_RETRIEVAL_PATH",
];
/// How our snapshots are called; what is prepared under this name is ours.
const OURS: &str = "stillpoint-";

/// One system, and how its client is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    name: String,
    instance: PathBuf,
    environment: BTreeMap<String, String>,
    key: String,
}

impl System {
    fn ask(&self, sql: &str, budget: Duration) -> Result<Vec<Vec<String>>, String> {
        let folder = self.environment.get("DIR_EXECUTABLE").map(PathBuf::from);
        let program = folder.unwrap_or_else(|| self.instance.join("exe")).join("hdbsql");
        let mut words = vec![program.display().to_string()];
        words.extend(["-U", &self.key, "-a", "-x", "-j", "-C", sql].map(str::to_owned));
        let mut command = vendor::command(&words, &self.instance)?;
        command.envs(&self.environment);
        let ended = vendor::run(command, budget)?;
        if ended.code != 0 {
            return Err(format!("{sql}: {}", ended.word()));
        }
        Ok(ended.output.lines().filter(|line| !line.trim().is_empty()).map(row).collect())
    }

    /// The prepared snapshots: backup id and comment.
    fn prepared(&self, budget: Duration) -> Result<Vec<Vec<String>>, String> {
        let sql = "SELECT BACKUP_ID, COMMENT FROM M_BACKUP_CATALOG WHERE \
                   ENTRY_TYPE_NAME = 'data snapshot' AND STATE_NAME = 'prepared'";
        self.ask(sql, budget)
    }

    /// Closes every prepared snapshot of ours as unsuccessful.
    ///
    /// # Errors
    /// Why one may still be prepared.
    pub fn end(&self, budget: Duration) -> Result<(), String> {
        for found in self.prepared(budget)? {
            if let [id, comment] = found.as_slice()
                && comment.starts_with(OURS)
            {
                self.close(id, "UNSUCCESSFUL", "given up", budget)?;
            }
        }
        Ok(())
    }

    fn close(&self, id: &str, how: &str, note: &str, budget: Duration) -> Result<(), String> {
        let sql =
            format!("BACKUP DATA FOR FULL SYSTEM CLOSE SNAPSHOT BACKUP_ID {id} {how} '{note}'");
        self.ask(&sql, budget).map(drop)
    }
}

/// One line of `hdbsql`: values separated by commas, texts in quotes.
#[must_use]
pub fn row(line: &str) -> Vec<String> {
    let (mut values, mut quoted) = (vec![String::new()], false);
    for letter in line.trim().chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(String::new()),
            other => values.last_mut().into_iter().for_each(|value| value.push(other)),
        }
    }
    values
}

#[derive(Debug)]
struct Hana {
    system: System,
    execution_id: String,
    version: String,
    backup_id: String,
    is_owed: bool,
    state: &'static str,
}

/// Every system that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let mut systems: BTreeMap<String, System> = BTreeMap::new();
    for pid in procs::named(&[PROCESS]) {
        let text = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment: BTreeMap<String, String> = String::from_utf8_lossy(&text)
            .split('\0')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| VARIABLES.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let told = environment.get("SAPSYSTEMNAME").zip(environment.get("DIR_INSTANCE"));
        let Some((name, instance)) = told else {
            return Err(format!("the HANA system of process {pid} does not tell its name"));
        };
        let (name, instance) = (name.clone(), PathBuf::from(instance));
        let key = Some(&call.config.saphana_key).filter(|key| !key.is_empty());
        let key = key.map_or(KEY, String::as_str).to_owned();
        systems.insert(name.clone(), System { name, instance, environment, key });
    }
    if systems.is_empty() {
        return Err("no SAP HANA system runs here".into());
    }
    let adapter = |system| {
        Box::new(Hana {
            system,
            execution_id: call.execution_id.clone(),
            version: String::new(),
            backup_id: String::new(),
            is_owed: false,
            state: "found",
        }) as Box<dyn Application>
    };
    Ok(systems.into_values().map(adapter).collect())
}

impl Hana {
    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("saphana {}: {what}", self.system.name)
    }

    fn prepare(&mut self, budget: Duration) -> Result<(), String> {
        let until = Instant::now() + budget;
        let left = || until.saturating_duration_since(Instant::now());
        // What an agent that was killed has left behind would be in the way.
        self.system.end(left())?;
        debts::owe(&self.execution_id, &Debt::SapHana(self.system.clone()))?;
        self.is_owed = true;
        let comment = format!("{OURS}{}", self.execution_id);
        let sql = format!("BACKUP DATA FOR FULL SYSTEM CREATE SNAPSHOT COMMENT '{comment}'");
        self.system.ask(&sql, left())?;
        let prepared = self.system.prepared(left())?;
        let ours = prepared.into_iter().find(|row| row.get(1) == Some(&comment));
        let id = ours.and_then(|row| row.into_iter().next());
        self.backup_id = id.ok_or("its snapshot is not in the backup catalog")?;
        Ok(())
    }
}

impl Application for Hana {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let rows = self
            .system
            .ask("SELECT VERSION FROM M_DATABASE", budget)
            .map_err(|why| self.says(why))?;
        self.version = rows.into_iter().flatten().next().unwrap_or_default();
        let says = |why: String| self.says(why);
        let sql = "SELECT COUNT(*) FROM M_SERVICES WHERE ACTIVE_STATUS <> 'YES'";
        let down = self.system.ask(sql, budget).map_err(says)?;
        if down.iter().flatten().next().is_some_and(|count| count != "0") {
            return Err(self.says("not all of its services are active"));
        }
        let foreign = self.system.prepared(budget).map_err(says)?;
        let foreign = foreign.iter().find(|row| row.get(1).is_none_or(|c| !c.starts_with(OURS)));
        if let Some(row) = foreign {
            return Err(self.says(format_args!(
                "somebody else's snapshot is prepared already, backup id {}",
                row.first().map(String::as_str).unwrap_or_default()
            )));
        }
        let sql = "SELECT PATH FROM M_DISKS WHERE USAGE_TYPE IN ('DATA', 'LOG')";
        let paths = self.system.ask(sql, budget).map_err(says)?;
        let folders: Vec<PathBuf> = paths.into_iter().flatten().map(PathBuf::from).collect();
        if folders.is_empty() || !folders.iter().all(|folder| folder.is_absolute()) {
            return Err(self.says("it does not tell where its volumes are: CATALOG READ is needed"));
        }
        cover::check(plan, &folders).map_err(|why| self.says(why))
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        self.prepare(budget).map_err(|why| self.says(why))?;
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, kept: bool, budget: Duration) -> Result<(), String> {
        if !self.is_owed {
            return Ok(());
        }
        let budget = budget.max(vendor::RELEASE_PATIENCE);
        let (was_held, debt) = (self.state == "quiesced", Debt::SapHana(self.system.clone()));
        self.state = "lost";
        let closed = if was_held && kept {
            let note = format!("stillpoint {}", self.execution_id);
            self.system.close(&self.backup_id, "SUCCESSFUL", &note, budget)
        } else {
            self.system.end(budget)
        };
        // A snapshot that a restart has voided cannot be closed, and need not be.
        match closed.as_ref().map_or_else(|_| self.system.end(budget), |()| Ok(())) {
            Ok(()) => debts::paid(&self.execution_id, &debt),
            Err(why) => {
                self.state = debts::HELD;
                return Err(self.says(why));
            }
        }
        closed.map_err(|why| self.says(why))?;
        if was_held {
            self.state = "released";
        }
        Ok(())
    }

    fn describe(&self) -> Described {
        let id = &self.backup_id;
        Described {
            name: NAME.into(),
            version: self.version.clone(),
            state: self.state.into(),
            position: if id.is_empty() { String::new() } else { format!("backup id {id}") },
        }
    }

    fn restore_note(&self) -> String {
        format!(
            "saphana {} {}: attach the data volumes, then RECOVER DATA USING SNAPSHOT CLEAR LOG, the \
             system database first, or RECOVER DATABASE UNTIL with log backups; backup id {}",
            self.system.name, self.version, self.backup_id
        )
    }
}
