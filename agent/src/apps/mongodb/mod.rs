//! MongoDB 4.4 and newer, one adapter a server: a checkpoint before, `fsync` with `lock`
//! right before the freeze, `fsyncUnlock` after the thaw.
//!
//! The lock lives in a thread of the server and outlives our session: it is on record until
//! it is ended. Source: `fsync` and `fsyncUnlock` in the manual.

pub mod bson;
pub mod scram;
pub mod wire;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application as Described;

use crate::apps::debts::{self, Debt};
use crate::apps::link::{self, Place};
use crate::apps::login::Login;
use crate::apps::mongodb::bson::Bson;
use crate::apps::mongodb::wire::{Failure, Session};
use crate::apps::{Application, cover, procs};
use crate::cli::Call;
use crate::plan::Plan;

/// What the application is called in a receipt.
pub const NAME: &str = "mongodb";
const PROCESSES: [&str; 1] = ["mongod"];
/// Where a server that was not told otherwise has its data.
const FOLDER: &str = "/data/db";
const VERSION_MIN: (u32, u32) = (4, 4);
/// The lock waits for what runs, and every writer for the lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(1_500);
/// The code of an unlock of what is not locked.
const NOT_LOCKED: i64 = 20;
/// Somebody else may have locked it as often as this; it is ours no more then.
const LOCKS_MAX: usize = 16;

/// A server whose writes are locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    place: Place,
    login: Login,
}

impl Locked {
    fn open(&self, budget: Duration) -> Result<Result<Session, Failure>, String> {
        let password = self.login.password()?;
        Ok(Session::open(&self.place, &self.login.user, &password, budget))
    }

    /// Lets writes go on.
    ///
    /// # Errors
    /// Why they may still wait.
    pub fn end(&self, budget: Duration) -> Result<(), String> {
        let mut session = match self.open(budget)? {
            // The lock lives no longer than its server.
            Err(Failure::Lost(error)) if link::is_nobody(&error) => return Ok(()),
            session => session.map_err(|failure| failure.to_string())?,
        };
        for _ in 0..LOCKS_MAX {
            match session.ask("fsyncUnlock", Vec::new(), budget) {
                Ok(answer) if answer.number("lockCount") > 0 => {}
                Ok(_) | Err(Failure::Server(NOT_LOCKED, _)) => return Ok(()),
                Err(failure) => return Err(failure.to_string()),
            }
        }
        Err("it is locked again and again, by somebody else".into())
    }
}

#[derive(Debug)]
struct MongoDb {
    locked: Locked,
    execution_id: String,
    version: String,
    session: Option<Session>,
    is_owed: bool,
    position: String,
    state: &'static str,
}

/// Every server that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let servers = procs::servers(&PROCESSES);
    if servers.is_empty() {
        return Err("no MongoDB server runs in this mount namespace".into());
    }
    let adapter = |server: procs::Server| {
        Some(Box::new(MongoDb {
            locked: Locked {
                place: server.places.into_iter().next()?,
                login: call.config.mongodb.clone(),
            },
            execution_id: call.execution_id.clone(),
            version: String::new(),
            session: None,
            is_owed: false,
            position: String::new(),
            state: "found",
        }) as Box<dyn Application>)
    };
    Ok(servers.into_iter().filter_map(adapter).collect())
}

impl MongoDb {
    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("mongodb at {}: {what}", self.locked.place)
    }

    fn connect(&self, budget: Duration) -> Result<Session, String> {
        let user = &self.locked.login.user;
        self.locked
            .open(budget)
            .map_err(|why| self.says(why))?
            .map_err(|failure| self.says(format_args!("as user {user:?}: {failure}")))
    }

    fn ask(&self, session: &mut Session, command: &str, budget: Duration) -> Result<Bson, String> {
        session
            .ask(command, Vec::new(), budget)
            .map_err(|failure| self.says(format_args!("{command}: {failure}")))
    }

    /// The last write, on a member of a replica set.
    fn stands(&self, session: &mut Session, budget: Duration) -> Result<String, String> {
        let hello = self.ask(session, "hello", budget)?;
        Ok(match hello.get("lastWrite.opTime.ts") {
            Some(Bson::Timestamp(seconds, count)) => {
                format!("optime {seconds}:{count} term {}", hello.number("lastWrite.opTime.t"))
            }
            _ => String::new(),
        })
    }

    fn release_it(&self, session: Option<Session>, budget: Duration) -> Result<(), String> {
        let mut session = session.ok_or_else(|| self.says("its session is gone"))?;
        // Before the unlock: what is written afterwards is no concern of the copy.
        let now = self.stands(&mut session, budget)?;
        let unlocked = session.ask("fsyncUnlock", Vec::new(), budget);
        let left = unlocked.map_err(|failure| {
            self.says(format_args!("its lock was not held to the end: {failure}"))
        })?;
        if now != self.position {
            return Err(self.says("it was written to during the hold"));
        }
        match left.number("lockCount") {
            0 => Ok(()),
            count => Err(self.says(format_args!("{count} locks of others are left"))),
        }
    }
}

impl Application for MongoDb {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let mut session = self.connect(budget)?;
        let build = self.ask(&mut session, "buildInfo", budget)?;
        build.text("version").clone_into(&mut self.version);
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < VERSION_MIN {
            let version = &self.version;
            return Err(self.says(format_args!("version {version}, 4.4 or newer is needed")));
        }
        let status = self.ask(&mut session, "serverStatus", budget)?;
        if status.get("storageEngine.persistent") == Some(&Bson::Bool(false)) {
            return Err(self.says("it keeps nothing on disk"));
        }
        let current = self.ask(&mut session, "currentOp", budget)?;
        if current.number("fsyncLock") != 0 {
            return Err(self.says("it is locked already, by somebody else"));
        }
        let options = self.ask(&mut session, "getCmdLineOpts", budget)?;
        let folder = match options.text("parsed.storage.dbPath") {
            "" => FOLDER,
            folder => folder,
        };
        let folder = PathBuf::from(folder);
        let journal = Some(folder.join("journal")).filter(|path| path.is_dir());
        let folders: Vec<PathBuf> = std::iter::once(folder).chain(journal).collect();
        cover::check(plan, &folders).map_err(|why| self.says(why))
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        let mut session = self.connect(budget)?;
        // Most of what is to be written, while writers still run.
        self.ask(&mut session, "fsync", budget)?;
        self.session = Some(session);
        Ok(())
    }

    fn lock(&mut self, budget: Duration) -> Result<(), String> {
        let mut session = self.session.take().ok_or_else(|| self.says("it is not connected"))?;
        let budget = budget.min(LOCK_PATIENCE);
        debts::owe(&self.execution_id, &Debt::MongoDb(self.locked.clone()))
            .map_err(|why| self.says(why))?;
        self.is_owed = true;
        session
            .ask("fsync", vec![("lock", Bson::Bool(true))], budget)
            .map_err(|failure| self.says(format_args!("it cannot be locked: {failure}")))?;
        self.position = self.stands(&mut session, budget)?;
        self.session = Some(session);
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, _kept: bool, budget: Duration) -> Result<(), String> {
        if !self.is_owed {
            return Ok(());
        }
        let (was_held, debt) = (self.state == "quiesced", Debt::MongoDb(self.locked.clone()));
        self.state = "lost";
        let session = self.session.take();
        let proven = self.release_it(session, budget);
        match if proven.is_ok() { Ok(()) } else { self.locked.end(budget) } {
            Ok(()) => debts::paid(&self.execution_id, &debt),
            Err(why) => {
                self.state = debts::HELD;
                return Err(self.says(why));
            }
        }
        if was_held {
            proven?;
            self.state = "released";
        }
        Ok(())
    }

    fn describe(&self) -> Described {
        Described {
            name: NAME.into(),
            version: self.version.clone(),
            state: self.state.into(),
            position: self.position.clone(),
        }
    }

    fn restore_note(&self) -> String {
        format!(
            "mongodb {} at {}: start it; {}; to seed another replica set start it alone first and \
             drop the database local",
            self.version, self.locked.place, self.position
        )
    }
}
