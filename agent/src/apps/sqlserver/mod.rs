//! SQL Server 2022 and newer on Linux, one adapter an instance: every user database is
//! suspended for a snapshot backup right before the freeze; the metadata backup after the
//! thaw lets them go, and is what a restore with logs needs.
//!
//! Source: "Create a Transact-SQL snapshot backup" of the manual. `master`, `model` and
//! `msdb` cannot be suspended: they are as after a crash.

pub mod sqlcmd;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application as Described;

use crate::apps::debts::{self, Debt};
use crate::apps::link::Place;
use crate::apps::login::Login;
use crate::apps::sqlserver::sqlcmd::Session;
use crate::apps::{Application, cover, procs, vendor};
use crate::cli::Call;
use crate::plan::Plan;

/// What the application is called in a receipt.
pub const NAME: &str = "sqlserver";
const PROCESSES: [&str; 1] = ["sqlservr"];
const USER: &str = "sa";
/// SQL Server 2022.
const MAJOR_MIN: u32 = 16;
/// So many databases can be suspended at once.
const DATABASES_MAX: u32 = 64;
const OFF: &str = "ALTER SERVER CONFIGURATION SET SUSPEND_FOR_SNAPSHOT_BACKUP = OFF";
/// Without it the next differential backup of somebody else would begin at this one.
const ON: &str =
    "ALTER SERVER CONFIGURATION SET SUSPEND_FOR_SNAPSHOT_BACKUP = ON (MODE = COPY_ONLY)";
const SUSPENDED: &str = "SELECT CAST(SERVERPROPERTY('SuspendedDatabaseCount') AS int)";
/// The suspension waits for what runs.
const LOCK_PATIENCE: Duration = Duration::from_millis(1_500);

/// A server whose databases are suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    place: Place,
    login: Login,
}

impl Suspended {
    fn open(&self, budget: Duration) -> Result<Session, String> {
        let user = self.login.user_or(USER);
        let password = self.login.password()?;
        let opened = Session::open(&self.place, user, &password, budget);
        opened.map_err(|why| format!("as user {user}: {why}"))
    }

    /// Lets the databases go on.
    ///
    /// # Errors
    /// Why they may still be suspended.
    pub fn end(&self, budget: Duration) -> Result<(), String> {
        // A suspension lives no longer than its server.
        let there = procs::servers(&PROCESSES).into_iter().flat_map(|server| server.places);
        if !there.into_iter().any(|place| place == self.place) {
            return Ok(());
        }
        let mut session = self.open(budget)?;
        if count(&mut session, budget)? == 0 {
            return Ok(());
        }
        session.ask(OFF, budget).map(drop)
    }
}

/// How many databases are suspended.
fn count(session: &mut Session, budget: Duration) -> Result<u32, String> {
    let rows = session.ask(SUSPENDED, budget)?;
    let row = rows.first().map(String::as_str).unwrap_or_default();
    row.parse().map_err(|_| format!("the number of suspended databases is {row:?}"))
}

#[derive(Debug)]
struct SqlServer {
    suspended: Suspended,
    execution_id: String,
    version: String,
    metadata: String,
    session: Option<Session>,
    is_owed: bool,
    state: &'static str,
}

/// Every instance that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let servers = procs::servers(&PROCESSES);
    if servers.is_empty() {
        return Err("no SQL Server runs in this mount namespace".into());
    }
    let adapter = |server: procs::Server| {
        let place = server.places.into_iter().find(|place| matches!(place, Place::Tcp(_)))?;
        Some(Box::new(SqlServer {
            suspended: Suspended { place, login: call.config.sqlserver.clone() },
            execution_id: call.execution_id.clone(),
            version: String::new(),
            metadata: String::new(),
            session: None,
            is_owed: false,
            state: "found",
        }) as Box<dyn Application>)
    };
    Ok(servers.into_iter().filter_map(adapter).collect())
}

impl SqlServer {
    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("sqlserver at {}: {what}", self.suspended.place)
    }

    /// Its version, and every folder that its databases are in.
    fn look(&mut self, session: &mut Session, budget: Duration) -> Result<Vec<PathBuf>, String> {
        let sql = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS varchar(40)), \
                   CAST(SERVERPROPERTY('InstanceDefaultBackupPath') AS varchar(400)), \
                   (SELECT COUNT(*) FROM sys.databases WHERE database_id > 4)";
        let rows = session.ask(sql, budget)?;
        let row: Vec<&str> = rows.first().map(|row| row.split('|').collect()).unwrap_or_default();
        let [version, backups, databases] = row.as_slice() else {
            return Err("its settings cannot be read".into());
        };
        self.version = (*version).to_owned();
        let major: u32 = version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        if major < MAJOR_MIN {
            return Err(format!("version {version}, 2022 (16) or newer is needed"));
        }
        if databases.parse::<u32>().map_or(true, |count| count > DATABASES_MAX) {
            return Err(format!("it has {databases} databases, {DATABASES_MAX} can be suspended"));
        }
        let folder = PathBuf::from(backups);
        let file = folder.join(format!("stillpoint-{}.bkm", self.execution_id));
        self.metadata = file.display().to_string();
        if count(session, budget)? > 0 {
            return Err("databases are suspended already, by somebody else".into());
        }
        let files = session.ask("SELECT physical_name FROM sys.master_files", budget)?;
        let mut folders: Vec<PathBuf> = files
            .iter()
            .filter_map(|file| PathBuf::from(file).parent().map(PathBuf::from))
            .collect();
        folders.sort();
        folders.dedup();
        Ok(folders)
    }

    fn release_it(&mut self, kept: bool, budget: Duration) -> Result<(), String> {
        let session = self.session.as_mut().ok_or("its session is gone")?;
        if count(session, budget)? == 0 {
            return Err("its databases were not suspended to the end".into());
        }
        if !kept {
            return session.ask(OFF, budget).map(drop);
        }
        let (file, id) = (&self.metadata, &self.execution_id);
        let sql = format!(
            "BACKUP SERVER TO DISK = '{file}' WITH METADATA_ONLY, FORMAT, \
             MEDIADESCRIPTION = 'stillpoint {id}'"
        );
        session.ask(&sql, budget).map(drop)
    }
}

impl Application for SqlServer {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let mut session = self.suspended.open(budget).map_err(|why| self.says(why))?;
        let folders = self.look(&mut session, budget).map_err(|why| self.says(why))?;
        cover::check(plan, &folders).map_err(|why| self.says(why))
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        self.session = Some(self.suspended.open(budget).map_err(|why| self.says(why))?);
        Ok(())
    }

    fn lock(&mut self, budget: Duration) -> Result<(), String> {
        let debt = Debt::SqlServer(self.suspended.clone());
        debts::owe(&self.execution_id, &debt).map_err(|why| self.says(why))?;
        self.is_owed = true;
        // Kept only if it has answered: one that hangs would not answer the release either.
        let mut session = self.session.take().ok_or("it is not connected")?;
        let done = session.ask(ON, budget.min(LOCK_PATIENCE));
        done.map_err(|why| self.says(format_args!("it cannot be suspended: {why}")))?;
        self.session = Some(session);
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, kept: bool, budget: Duration) -> Result<(), String> {
        if !self.is_owed {
            self.session = None;
            return Ok(());
        }
        let budget = budget.max(vendor::RELEASE_PATIENCE);
        let (was_held, debt) = (self.state == "quiesced", Debt::SqlServer(self.suspended.clone()));
        self.state = "lost";
        let proven = self.release_it(kept, budget);
        self.session = None;
        match if proven.is_ok() { Ok(()) } else { self.suspended.end(budget) } {
            Ok(()) => debts::paid(&self.execution_id, &debt),
            Err(why) => {
                self.state = debts::HELD;
                return Err(self.says(why));
            }
        }
        if was_held {
            proven.map_err(|why| self.says(why))?;
            self.state = "released";
        }
        Ok(())
    }

    fn describe(&self) -> Described {
        Described {
            name: NAME.into(),
            version: self.version.clone(),
            state: self.state.into(),
            position: format!("metadata {}", self.metadata),
        }
    }

    fn restore_note(&self) -> String {
        format!(
            "sqlserver {}: attach the volumes, then RESTORE DATABASE ... FROM DISK = '{}' WITH \
             METADATA_ONLY, REPLACE, and NORECOVERY where logs follow; keep that file elsewhere",
            self.version, self.metadata
        )
    }
}
