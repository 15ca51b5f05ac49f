//! What was asked of servers that would go on without us, on record beside the execution:
//! written before it is asked, struck off when it is undone. A lock that dies with its
//! session is no debt.
//!
//! Whoever ends a hold whose holder is no more undoes them, over a connection of its own:
//! a sentinel, the next call of the agent, or systemd's timer by way of such a call. An
//! undoing that finds nothing to undo has succeeded.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::apps::{iris, mongodb, redis, saphana, sqlserver};
use crate::record::Record;
use crate::state::State;

/// The state of an application that could not be let go of.
pub const HELD: &str = "held";
/// Undoing one takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One server, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Debt {
    /// Writes are paused.
    Redis(redis::Paused),
    /// Writes are locked.
    MongoDb(mongodb::Locked),
    /// The write daemon is suspended.
    Iris(iris::Instance),
    /// A snapshot is prepared.
    SapHana(saphana::System),
    /// Databases are suspended.
    SqlServer(sqlserver::Suspended),
}

impl Debt {
    fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => redis::NAME,
            Self::MongoDb(_) => mongodb::NAME,
            Self::Iris(_) => iris::NAME,
            Self::SapHana(_) => saphana::NAME,
            Self::SqlServer(_) => sqlserver::NAME,
        }
    }

    /// Undoes it.
    ///
    /// # Errors
    /// Why it is still so.
    pub fn settle(&self) -> Result<(), String> {
        match self {
            Self::Redis(paused) => paused.end(PATIENCE),
            Self::MongoDb(locked) => locked.end(PATIENCE),
            Self::Iris(instance) => instance.end(PATIENCE),
            Self::SapHana(system) => system.end(PATIENCE),
            Self::SqlServer(suspended) => suspended.end(PATIENCE),
        }
    }
}

/// Puts it on record, before it is asked for.
///
/// # Errors
/// Why it cannot be; then it must not be asked for.
pub fn owe(execution_id: &str, debt: &Debt) -> Result<(), String> {
    let state = State::existing().ok_or("the state has gone")?;
    let mut debts = load(&state, execution_id);
    debts.push(debt.clone());
    save(&state, execution_id, &debts)
}

/// Strikes it off.
pub fn paid(execution_id: &str, debt: &Debt) {
    let Some(state) = State::existing() else { return };
    let mut debts = load(&state, execution_id);
    debts.retain(|one| one != debt);
    // A record that cannot be written has it undone twice, no worse.
    let _ = save(&state, execution_id, &debts);
}

/// Undoes what is owed of a hold whose holder is no more, and puts it on record.
pub fn settle(state: &State, record: &mut Record, by: &str) {
    let debts = load(state, &record.execution_id);
    if debts.is_empty() {
        return;
    }
    let (mut left, mut said) = (Vec::new(), Vec::new());
    for debt in debts {
        let name = debt.name();
        match debt.settle() {
            Ok(()) => said.push(format!("{by} let go of {name}")),
            Err(why) => {
                said.push(format!("{name} is still held: {why}"));
                left.push(debt);
            }
        }
        let is_held = left.iter().any(|debt| debt.name() == name);
        for app in record.applications.iter_mut().filter(|app| app.name == name) {
            app.state = if is_held { HELD } else { "lost" }.into();
        }
    }
    record.reason = said.join("; ");
    let _ = save(state, &record.execution_id, &left);
    let _ = state.save(record);
}

/// What is still owed of an execution, in words.
#[must_use]
pub fn rest(state: &State, execution_id: &str) -> Option<String> {
    let names: Vec<&str> = load(state, execution_id).iter().map(Debt::name).collect();
    (!names.is_empty()).then(|| format!("still held: {}", names.join(", ")))
}

fn load(state: &State, execution_id: &str) -> Vec<Debt> {
    let text = fs::read_to_string(state.debts_file(execution_id)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn save(state: &State, execution_id: &str, debts: &[Debt]) -> Result<(), String> {
    let path = state.debts_file(execution_id);
    if debts.is_empty() {
        let _ = fs::remove_file(&path);
        return Ok(());
    }
    let fresh = path.with_extension("debts-new");
    let text = serde_json::to_string(debts).map_err(|error| error.to_string())?;
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(|error| format!("{}: {error}", path.display()))
}
