//! PostgreSQL 13 and newer, one adapter a cluster: a checkpoint before the freeze, and a
//! session that stays open through the hold.
//!
//! The consistent cut is the freeze itself; the checkpoint makes recovery short, and the
//! session proves that the same server ran from quiesce to release. No backup mode: all
//! of the cluster has to be on filesystems of the plan, or there is no hold. On those that
//! are only flushed it is as after a crash right behind its checkpoint.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use stillpoint_wire::receipt::Application as Described;

use crate::apps::pgfind::{self, Cluster};
use crate::apps::pgwire::{Failure, Session};
use crate::apps::{Application, cover};
use crate::cli::Call;
use crate::plan::Plan;

const VERSION_MIN: u32 = 130_000;
/// The first version that ends sessions for being idle.
const VERSION_IDLE_TIMEOUT: u32 = 140_000;
/// Above this, much was dirtied while the checkpoint wrote, and a second one is short.
const CHECKPOINT_LONG: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct PostgreSql {
    cluster: Cluster,
    version: String,
    version_number: u32,
    session: Option<Session>,
    system: String,
    redo: String,
    position: String,
    state: &'static str,
}

/// Every cluster that runs here.
pub(super) fn detect(_call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let clusters = pgfind::clusters()?;
    if clusters.is_empty() {
        return Err("no PostgreSQL server runs in this mount namespace".into());
    }
    Ok(clusters
        .into_iter()
        .map(|cluster| {
            Box::new(PostgreSql {
                cluster,
                version: String::new(),
                version_number: 0,
                session: None,
                system: String::new(),
                redo: String::new(),
                position: String::new(),
                state: "found",
            }) as Box<dyn Application>
        })
        .collect())
}

impl PostgreSql {
    fn says(&self, what: impl std::fmt::Display) -> String {
        format!("postgresql in {}: {what}", self.cluster.data.display())
    }

    fn connect(&self, budget: Duration) -> Result<Session, String> {
        let Cluster { socket, uid, user, .. } = &self.cluster;
        let open = |database| Session::open(socket, *uid, user, database, budget);
        match open("postgres") {
            Err(Failure::Server(code, _)) if code == "3D000" => open("template1"),
            other => other,
        }
        .map_err(|failure| self.says(format_args!("as user {user}: {failure}")))
    }

    fn ask(
        &self,
        session: &mut Session,
        sql: &str,
        budget: Duration,
    ) -> Result<Vec<String>, String> {
        let rows = session.query(sql, budget).map_err(|failure| self.says(failure))?;
        let values = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
        Ok(values)
    }

    fn check_settings(&mut self, session: &mut Session, budget: Duration) -> Result<(), String> {
        let sql = "SELECT current_setting('server_version_num'), \
                   split_part(current_setting('server_version'), ' ', 1), \
                   current_setting('fsync'), current_setting('full_page_writes')";
        let values = self.ask(session, sql, budget)?;
        let [number, version, fsync, full_page_writes] = values.as_slice() else {
            return Err(self.says("the settings cannot be read"));
        };
        self.version_number = number.parse().unwrap_or(0);
        self.version.clone_from(version);
        if self.version_number < VERSION_MIN {
            return Err(self.says(format_args!("version {version}, 13 or newer is needed")));
        }
        for (name, value) in [("fsync", fsync), ("full_page_writes", full_page_writes)] {
            if value != "on" {
                return Err(self.says(format_args!("{name} is {value}, it has to be on")));
            }
        }
        Ok(())
    }

    /// Every folder that the cluster writes to.
    fn folders(&self, session: &mut Session, budget: Duration) -> Result<Vec<PathBuf>, String> {
        let data = &self.cluster.data;
        let sql = "SELECT pg_tablespace_location(oid) FROM pg_tablespace \
                   WHERE pg_tablespace_location(oid) <> ''";
        // Tablespaces made in place have a path that is relative to the data directory.
        let spaces = self.ask(session, sql, budget)?.into_iter().map(|path| data.join(path));
        Ok([data.clone(), data.join("pg_wal")].into_iter().chain(spaces).collect())
    }
}

impl Application for PostgreSql {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let mut session = self.connect(budget)?;
        self.check_settings(&mut session, budget)?;
        let folders = self.folders(&mut session, budget)?;
        cover::check(plan, &folders).map_err(|why| self.says(why))
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        let until = Instant::now() + budget;
        let left = || until.saturating_duration_since(Instant::now());
        let mut session = self.connect(left())?;
        if self.version_number >= VERSION_IDLE_TIMEOUT {
            self.ask(&mut session, "SET idle_session_timeout = 0", left())?;
        }
        for _ in 0..2 {
            let begun = Instant::now();
            // The server stops waiting a little before we do, so that it can say so.
            let limit = left().as_millis().saturating_sub(250).max(1);
            self.ask(&mut session, &format!("SET statement_timeout = {limit}"), left())?;
            self.ask(&mut session, "CHECKPOINT", left())?;
            if begun.elapsed() < CHECKPOINT_LONG {
                break;
            }
        }
        self.session = Some(session);
        Ok(())
    }

    /// Stalls nobody; it is asked here because it grows until the freeze.
    fn lock(&mut self, budget: Duration) -> Result<(), String> {
        let mut session = self.session.take().ok_or_else(|| self.says("it is not connected"))?;
        let sql = "SELECT s.system_identifier, c.redo_lsn, CASE WHEN pg_is_in_recovery() \
                   THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END \
                   FROM pg_control_system() s, pg_control_checkpoint() c";
        let values = self.ask(&mut session, sql, budget)?;
        let [system, redo, position] = values.as_slice() else {
            return Err(self.says("its position cannot be read"));
        };
        self.system.clone_from(system);
        self.redo.clone_from(redo);
        self.position = format!("{position} checkpoint {redo}");
        self.session = Some(session);
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, _kept: bool, budget: Duration) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        self.state = "lost";
        // A session belongs to one backend of one run of the server, and dies with it.
        self.ask(&mut session, "SELECT 1", budget)
            .map_err(|why| format!("{why}: the session that was open through the hold is gone"))?;
        self.state = "released";
        Ok(())
    }

    fn describe(&self) -> Described {
        Described {
            name: "postgresql".into(),
            version: self.version.clone(),
            state: self.state.into(),
            position: self.position.clone(),
        }
    }

    fn restore_note(&self) -> String {
        format!(
            "postgresql {} system {} in {}: remove postmaster.pid and start it; recovery begins \
             at {} and everything up to {} is there, with what was written until the freeze; drop replication slots that were copied",
            self.version,
            self.system,
            self.cluster.data.display(),
            self.redo,
            self.position.split(' ').next().unwrap_or_default()
        )
    }
}
