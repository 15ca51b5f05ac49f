//! MySQL 8, Percona Server 8 and MariaDB 10.4 and newer, one adapter a server. What is
//! locked, and when, is in `lock`; the session that locks stays open until the thaw, so
//! that its end ends the lock, and its answer to the release proves that it was held.

mod auth;
pub mod lock;
mod position;
mod tables;
pub mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::Application as Described;

use crate::apps::link::Place;
use crate::apps::login::Login;
use crate::apps::mysql::lock::{Vendor, Way};
use crate::apps::mysql::wire::{Failure, Rows, Session};
use crate::apps::{Application, cover, procs};
use crate::cli::Call;
use crate::plan::Plan;

/// The main thread's name, of new versions and old.
const PROCESSES: [&str; 2] = ["mariadbd", "mysqld"];
/// The name that every server is set up with.
const USER: &str = "root";
/// The socket of MySQL's other protocol.
const OTHER_PROTOCOL: &str = "mysqlx";
/// A lock that stalls writers is had within this, or not at all. The server counts in
/// seconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// A query that has run for longer would stall everybody behind a global lock.
const QUERY_LONG: Duration = Duration::from_secs(2);
/// How long beyond the deadline the server keeps a session that says nothing.
const SPARE: Duration = Duration::from_secs(30);
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const NO_PRIVILEGE: u16 = 1227;

#[derive(Debug)]
struct MySql {
    place: Place,
    login: Login,
    deadline: Duration,
    vendor: Vendor,
    version: String,
    way: Option<Way>,
    flushes_late: bool,
    session: Option<Session>,
    position: String,
    state: &'static str,
}

/// Every server that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let is_ours = |place: &Place| matches!(place, Place::Unix(path) if !path.to_string_lossy().contains(OTHER_PROTOCOL));
    let servers = procs::servers(&PROCESSES);
    if servers.is_empty() {
        return Err("no MySQL or MariaDB server runs in this mount namespace".into());
    }
    let mut found = Vec::new();
    for server in servers {
        let pid = server.pid;
        let place = server.places.into_iter().find(is_ours).ok_or_else(|| {
            format!("the MySQL or MariaDB server of process {pid} has no unix socket")
        })?;
        found.push(Box::new(MySql {
            place,
            login: call.config.mysql.clone(),
            deadline: call.config.deadline,
            vendor: Vendor::MySql,
            version: String::new(),
            way: None,
            flushes_late: false,
            session: None,
            position: String::new(),
            state: "found",
        }) as Box<dyn Application>);
    }
    Ok(found)
}

impl MySql {
    fn name(&self) -> &'static str {
        if self.vendor == Vendor::MariaDb { "mariadb" } else { "mysql" }
    }

    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("{} at {}: {what}", self.name(), self.place)
    }

    fn connect(&self, budget: Duration) -> Result<Session, String> {
        let user = self.login.user_or(USER);
        let password = self.login.password().map_err(|why| self.says(why))?;
        let uid = self.login.uid(USER);
        let refused = |failure| self.says(format_args!("as user {user}: {failure}"));
        Session::open(&self.place, uid, user, &password, budget).map_err(refused)
    }

    fn ask(&self, session: &mut Session, sql: &str, budget: Duration) -> Result<Rows, String> {
        session.query(sql, budget).map_err(|failure| match failure {
            Failure::Server(LOCK_WAIT_TIMEOUT, _) => {
                self.says(format_args!("{sql} waited too long, behind another backup or a query"))
            }
            other => self.says(format_args!("{sql}: {other}")),
        })
    }

    /// The values of one row; what is null is empty.
    fn row(
        &self,
        session: &mut Session,
        sql: &str,
        budget: Duration,
    ) -> Result<Vec<String>, String> {
        let rows = self.ask(session, sql, budget)?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(row.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Who it is, and every folder that it writes to, the data directory first.
    fn look(&mut self, session: &mut Session, budget: Duration) -> Result<Vec<PathBuf>, String> {
        let sql = "SELECT @@version, @@version_comment, @@datadir, @@innodb_data_home_dir, \
                   @@innodb_log_group_home_dir, @@innodb_undo_directory, @@log_bin_basename, \
                   @@relay_log_basename, @@innodb_flush_log_at_trx_commit";
        let values = self.row(session, sql, budget)?;
        let [version, comment, data, folders @ .., commit] = values.as_slice() else {
            return Err(self.says("its settings cannot be read"));
        };
        self.vendor = lock::vendor(version, comment);
        self.version = version.split('-').next().unwrap_or_default().to_owned();
        self.flushes_late = commit == "0";
        let data = PathBuf::from(data);
        let others = tables::without_log(&data);
        let way = lock::way(self.vendor, lock::number(version), others);
        self.way = Some(way.map_err(|why| self.says(why))?);
        let mut all = vec![data.clone()];
        for (at, folder) in folders.iter().enumerate().filter(|(_, folder)| !folder.is_empty()) {
            let path = data.join(folder);
            // The last two name a file's beginning.
            let is_file = at + 2 >= folders.len();
            all.push(if is_file { path.parent().unwrap_or(&path).to_owned() } else { path });
        }
        all.extend(tables::elsewhere(&data));
        Ok(all)
    }

    fn check_rights(&self, session: &mut Session, budget: Duration) -> Result<(), String> {
        let probe = self.way.map(|way| way.probe).unwrap_or_default();
        match session.query(probe, budget) {
            Err(Failure::Server(NO_PRIVILEGE, words)) => {
                let user = self.login.user_or(USER);
                Err(self.says(format_args!("user {user} may not lock it: {words}")))
            }
            Err(Failure::Lost(error)) => Err(self.says(Failure::Lost(error))),
            _ => Ok(()),
        }
    }

    /// A global lock waits for what runs, and everything else waits for the lock.
    fn check_queries(&self, session: &mut Session, budget: Duration) -> Result<(), String> {
        if !self.way.is_some_and(|way| way.waits_for_queries) {
            return Ok(());
        }
        let long = QUERY_LONG.as_secs();
        let sql = format!(
            "SELECT ID, TIME FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Query', \
             'Execute') AND TIME >= {long} AND ID <> CONNECTION_ID() ORDER BY TIME DESC LIMIT 1"
        );
        let row = self.row(session, &sql, budget)?;
        let [id, time] = row.as_slice() else { return Ok(()) };
        Err(self.says(format_args!(
            "query {id} has run for {time} s: a global lock would wait for it, and every writer \
             for the lock"
        )))
    }

    /// Runs the statements of one step, and keeps the session only if all succeed: its end
    /// is what lets go of locks that were had half-way.
    fn run(&mut self, statements: &[&str], budget: Duration) -> Result<(), String> {
        let mut session = self.session.take().ok_or_else(|| self.says("it is not connected"))?;
        for statement in statements {
            self.ask(&mut session, statement, budget)?;
        }
        self.session = Some(session);
        Ok(())
    }
}

impl Application for MySql {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let mut session = self.connect(budget)?;
        let folders = self.look(&mut session, budget)?;
        cover::check(plan, &folders).map_err(|why| self.says(why))?;
        self.check_rights(&mut session, budget)?;
        self.check_queries(&mut session, budget)
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        let until = Instant::now() + budget;
        let left = || until.saturating_duration_since(Instant::now());
        let way = self.way.ok_or_else(|| self.says("it was not looked at"))?;
        let mut session = self.connect(left())?;
        // The server gives up a little before we do, so that it can say so; and it lets go
        // of a session that says nothing, should this machine forget to close it.
        let wait = left().as_secs().saturating_sub(1).clamp(1, 50);
        let keep = (self.deadline + SPARE).as_secs();
        let sql = format!("SET SESSION lock_wait_timeout = {wait}, SESSION wait_timeout = {keep}");
        self.ask(&mut session, &sql, left())?;
        self.session = Some(session);
        self.run(way.prepare, left())
    }

    fn lock(&mut self, budget: Duration) -> Result<(), String> {
        let way = self.way.ok_or_else(|| self.says("it was not looked at"))?;
        let mut session = self.session.take().ok_or_else(|| self.says("it is not connected"))?;
        self.check_queries(&mut session, budget)?;
        let wait = LOCK_PATIENCE.as_secs();
        self.ask(&mut session, &format!("SET SESSION lock_wait_timeout = {wait}"), budget)?;
        self.session = Some(session);
        self.run(way.lock, budget.min(LOCK_PATIENCE * 2))?;
        if self.flushes_late {
            // Its log is written once a second otherwise, and commits were acknowledged since.
            self.run(&["FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS"], budget)?;
        }
        let mut session = self.session.take().ok_or_else(|| self.says("it is not connected"))?;
        let ask = |sql: &str| session.query(sql, budget);
        self.position = position::read(self.vendor, ask)
            .map_err(|failure| self.says(format_args!("its position: {failure}")))?;
        self.session = Some(session);
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, _kept: bool, budget: Duration) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        let was_held = self.state == "quiesced";
        self.state = "lost";
        for statement in self.way.map(|way| way.release).unwrap_or_default() {
            let done = self.ask(&mut session, statement, budget);
            if was_held {
                done.map_err(|why| format!("{why}: its lock was not held to the end"))?;
            }
        }
        self.state = "released";
        Ok(())
    }

    fn describe(&self) -> Described {
        Described {
            name: self.name().into(),
            version: self.version.clone(),
            state: self.state.into(),
            position: self.position.clone(),
        }
    }

    fn restore_note(&self) -> String {
        let exact = if self.way.is_some_and(|way| way.is_exact) {
            "is exactly where the copy stands"
        } else {
            "was passed when the copy was made; the started copy tells where it stands"
        };
        format!(
            "{} {} at {}: start it, its crash recovery takes the place of a clean shutdown; \
             position {} {exact}; for a clone delete auto.cnf and forget the replica settings",
            self.name(),
            self.version,
            self.place,
            self.position
        )
    }
}
