//! Redis 6.2 and newer and Valkey, one adapter a server: writes are paused, and what was
//! acknowledged before is on disk when the freeze comes.
//!
//! With an append-only file the pause waits until the last of it is written out. Without
//! one the data is saved before the pause; where that is quick it is saved once more under
//! the pause, so that nothing is missing, and else the receipt says how much is.

mod info;
mod save;
pub mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application as Described;

use crate::apps::debts::{self, Debt};
use crate::apps::link::{self, Place};
use crate::apps::login::Login;
use crate::apps::redis::info::Info;
use crate::apps::redis::wire::{Failure, Session};
use crate::apps::{Application, cover, procs};
use crate::cli::Call;
use crate::plan::Plan;

/// What the application is called in a receipt.
pub const NAME: &str = "redis";
const PROCESSES: [&str; 2] = ["redis-server", "valkey-server"];
const USER: &str = "default";
/// A pause ends by itself this long after the deadline, should nobody end it.
const SPARE: Duration = Duration::from_secs(5);
/// What was acknowledged before the pause is written within this: the server itself waits
/// no longer than two seconds for a slow disk.
const WRITE_PATIENCE: Duration = Duration::from_millis(2_500);
const POLL: Duration = Duration::from_millis(2);

/// How a server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// In an append-only file.
    Appended,
    /// As it was last saved.
    Saved,
    /// Not at all: it only watches others.
    Sentinel,
}

#[derive(Debug)]
struct Redis {
    debt: Paused,
    execution_id: String,
    deadline: Duration,
    kept: Kept,
    is_valkey: bool,
    version: String,
    session: Option<Session>,
    paused: Option<Instant>,
    stands: Info,
    saved_quickly: bool,
    log: PathBuf,
    position: String,
    state: &'static str,
}

/// A server whose writes are paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    place: Place,
    login: Login,
}

impl Paused {
    fn open(&self, budget: Duration) -> Result<Result<Session, Failure>, String> {
        let password = self.login.password()?;
        Ok(Session::open(&self.place, self.login.user_or(USER), &password, budget))
    }

    fn connect(&self, budget: Duration) -> Result<Session, String> {
        let user = self.login.user_or(USER);
        self.open(budget)?.map_err(|failure| format!("as user {user}: {failure}"))
    }

    /// Lets writes go on.
    ///
    /// # Errors
    /// Why they may still wait.
    pub fn end(&self, budget: Duration) -> Result<(), String> {
        let done = match self.open(budget)? {
            // A pause lives no longer than its server.
            Err(Failure::Lost(error)) if link::is_nobody(&error) => return Ok(()),
            session => session.and_then(|mut open| open.ask(&["CLIENT", "UNPAUSE"], budget)),
        };
        done.map(drop).map_err(|failure| failure.to_string())
    }
}

/// Every server that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let servers = procs::servers(&PROCESSES);
    if servers.is_empty() {
        return Err("no Redis or Valkey server runs in this mount namespace".into());
    }
    let adapter = |server: procs::Server| {
        let place = server.places.into_iter().next()?;
        Some(Box::new(Redis {
            debt: Paused { place, login: call.config.redis.clone() },
            execution_id: call.execution_id.clone(),
            deadline: call.config.deadline,
            kept: Kept::Appended,
            is_valkey: false,
            version: String::new(),
            session: None,
            paused: None,
            stands: Info::default(),
            saved_quickly: false,
            log: PathBuf::new(),
            position: String::new(),
            state: "found",
        }) as Box<dyn Application>)
    };
    Ok(servers.into_iter().filter_map(adapter).collect())
}

fn info(session: &mut Session, budget: Duration) -> Result<Info, Failure> {
    session.ask(&["INFO"], budget).map(|reply| Info::parse(reply.text()))
}

impl Redis {
    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("{} at {}: {what}", if self.is_valkey { "valkey" } else { NAME }, self.debt.place)
    }

    fn setting(
        &self,
        session: &mut Session,
        name: &str,
        budget: Duration,
    ) -> Result<String, String> {
        let reply = session.ask(&["CONFIG", "GET", name], budget).map_err(|why| self.says(why))?;
        let wire::Reply::List(pair) = reply else { return Ok(String::new()) };
        Ok(pair.get(1).map(|value| value.text().to_owned()).unwrap_or_default())
    }

    /// Waits until all that was acknowledged is in the file, though not yet on the disk:
    /// that is the freeze's part.
    fn wait_for_file(&self, session: &mut Session, budget: Duration) -> Result<Info, String> {
        let until = Instant::now() + budget.min(WRITE_PATIENCE);
        loop {
            let now = info(session, budget).map_err(|why| self.says(why))?;
            if now.number("aof_buffer_length") == 0 {
                return Ok(now);
            }
            if Instant::now() >= until {
                return Err(self.says("what it has acknowledged is not written in time"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Proves, before writes go on, that there were none.
    fn prove(&self, session: &mut Session, budget: Duration) -> Result<(), String> {
        let now = info(session, budget).map_err(|why| self.says(why))?;
        let paused = self.paused.map_or(Duration::ZERO, |since| since.elapsed());
        if now.text("run_id") != self.stands.text("run_id") {
            return Err(self.says("it was restarted during the hold"));
        }
        if paused >= self.deadline + SPARE {
            return Err(self.says("its pause had ended by itself"));
        }
        let names = match self.kept {
            Kept::Sentinel => return Ok(()),
            Kept::Appended => ["aof_current_size", "master_repl_offset"],
            Kept::Saved => ["rdb_changes_since_last_save", "rdb_last_save_time"],
        };
        // What a replica is sent by its primary is not paused; the freeze alone holds it.
        let moved = names.iter().find(|name| now.text(name) != self.stands.text(name));
        match moved.filter(|_| now.is_primary()) {
            Some(name) => Err(self.says(format_args!("it was written to during the hold: {name}"))),
            None => Ok(()),
        }
    }
}

impl Application for Redis {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let mut session = self.debt.connect(budget).map_err(|why| self.says(why))?;
        let found = info(&mut session, budget).map_err(|why| self.says(why))?;
        self.is_valkey = found.is_valkey();
        found.version().clone_into(&mut self.version);
        if found.text("redis_mode") == "sentinel" {
            self.kept = Kept::Sentinel;
            return Ok(());
        }
        if let Some(why) = found.not_ready() {
            return Err(self.says(why));
        }
        self.kept = if found.is_on("aof_enabled") { Kept::Appended } else { Kept::Saved };
        if self.kept == Kept::Saved && self.setting(&mut session, "save", budget)?.is_empty() {
            return Err(self.says("it keeps nothing on disk: appendonly is no, and save is empty"));
        }
        let folder = PathBuf::from(self.setting(&mut session, "dir", budget)?);
        let mut folders = vec![folder.clone()];
        if self.kept == Kept::Appended {
            // Since version 7 it is several files in a folder of their own.
            let name = self.setting(&mut session, "appenddirname", budget)?;
            if name.is_empty() {
                let name = self.setting(&mut session, "appendfilename", budget)?;
                self.log = folder.join(name);
            } else {
                self.log = folder.join(name);
                folders.push(self.log.clone());
            }
        }
        cover::check(plan, &folders).map_err(|why| self.says(why))
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        if self.kept == Kept::Sentinel {
            self.state = "quiesced";
            return Ok(());
        }
        let until = Instant::now() + budget;
        let mut session = self.debt.connect(budget).map_err(|why| self.says(why))?;
        let quiet = |now: &Info| {
            !now.is_on("rdb_bgsave_in_progress")
                && !now.is_on("aof_rewrite_in_progress")
                && !now.is_on("aof_rewrite_scheduled")
        };
        save::wait(&mut session, until, quiet).map_err(|why| self.says(why))?;
        if self.kept == Kept::Saved {
            let took = save::save(&mut session, until).map_err(|why| self.says(why))?;
            self.saved_quickly = took <= save::QUICK;
        }
        self.session = Some(session);
        Ok(())
    }

    fn lock(&mut self, budget: Duration) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let debt = Debt::Redis(self.debt.clone());
        debts::owe(&self.execution_id, &debt).map_err(|why| self.says(why))?;
        let begun = Instant::now();
        self.paused = Some(begun);
        let time = (self.deadline + SPARE).as_millis().to_string();
        session.ask(&["CLIENT", "PAUSE", &time, "WRITE"], budget).map_err(|why| self.says(why))?;
        self.stands = match self.kept {
            Kept::Saved => save::again(&mut session, self.saved_quickly, budget)
                .map_err(|why| self.says(why))?,
            _ => self.wait_for_file(&mut session, budget)?,
        };
        self.position = match self.kept {
            Kept::Saved => save::position(&self.stands),
            _ => format!("aof {} bytes", save::appended(&self.log)),
        };
        let offset = self.stands.text("master_repl_offset");
        if offset != "0" {
            let id = self.stands.text("master_replid");
            self.position = format!("{} replication {id}:{offset}", self.position);
        }
        self.session = Some(session);
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, _kept: bool, budget: Duration) -> Result<(), String> {
        if self.kept == Kept::Sentinel {
            self.state = "released";
            return Ok(());
        }
        let was_held = self.state == "quiesced";
        self.state = "lost";
        let session = self.session.take();
        if self.paused.is_none() {
            return Ok(());
        }
        let debt = Debt::Redis(self.debt.clone());
        let proven =
            session.ok_or_else(|| self.says("its session is gone")).and_then(|mut session| {
                let proven = self.prove(&mut session, budget);
                let ended = session.ask(&["CLIENT", "UNPAUSE"], budget);
                ended.map_err(|why| self.says(why)).and(proven)
            });
        // The session may have gone with the server, or only by itself.
        match if proven.is_ok() { Ok(()) } else { debt.settle() } {
            Ok(()) => debts::paid(&self.execution_id, &debt),
            Err(_) => self.state = debts::HELD,
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
            "{NAME} {} at {}: start it with the same settings, appendonly too; position {}; for a \
             clone remove nodes.conf and replicaof",
            self.version, self.debt.place, self.position
        )
    }
}
