//! The hooks whose `post` is owed, on record beside the execution's own: written before a
//! hook is started, shortened as each `post` succeeds.
//!
//! Whoever ends the hold runs them: the holder; a sentinel when the holder is no more; the
//! next call of the agent when all of them are. They may run twice when somebody dies in
//! between, never not at all. Only for whoever has the lock, and after the thaw.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application;

use crate::apps::debts;
use crate::apps::hooks::{self, NAME};
use crate::log;
use crate::record::Record;
use crate::state::State;

/// What all hooks of one execution may say to the log.
const LINES_MAX: usize = 60;

/// A line that a hook has said, after the stage that it was run with.
pub(super) type Said = (String, String);

/// What is owed of one execution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owed {
    /// The execution.
    pub(super) execution_id: String,
    /// After how long its hold would end by itself.
    pub(super) deadline_ms: u64,
    /// What was to be frozen.
    pub(super) mounts: String,
    /// How long a hook may take.
    pub(super) timeout_ms: u64,
    /// Whether one that fails stays owed.
    pub(super) strict: bool,
    /// The hooks whose `pre` was started, in that order.
    pub(super) hooks: Vec<PathBuf>,
    /// What they have said.
    pub(super) said: Vec<Said>,
}

impl Owed {
    fn load(state: &State, execution_id: &str) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(state.hooks_file(execution_id)).ok()?).ok()
    }

    pub(super) fn save(&self, state: &State) -> Result<(), String> {
        let path = state.hooks_file(&self.execution_id);
        let fresh = path.with_extension("hooks-new");
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn say(&mut self, lines: Vec<Said>) {
        let room = LINES_MAX.saturating_sub(self.said.len());
        self.said.extend(lines.into_iter().take(room));
    }

    /// Runs every `post` that is owed, in reverse, whatever becomes of the others.
    pub(super) fn run_all(&mut self, state: &State) -> Result<(), String> {
        let mut failures = Vec::new();
        for path in self.hooks.clone().into_iter().rev() {
            let (mut said, time) = (Vec::new(), Duration::from_millis(self.timeout_ms));
            let done = hooks::run(&path, "post", self, time, &mut said);
            self.say(said);
            match done {
                Err(why) if self.strict => failures.push(why),
                done => {
                    self.hooks.retain(|owed| *owed != path);
                    if let Err(why) = done {
                        self.say(vec![("post".into(), format!("{why}; ignored"))]);
                    }
                }
            }
            // A record that cannot be written makes a hook run twice, no worse.
            let _ = self.save(state);
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }
}

/// Runs what the holder of a hold that is over has left owed, and puts it on record that
/// `by` did so. The caller has the lock.
pub fn settle(state: &State, record: &mut Record, by: &str) {
    debts::settle(state, record, by);
    let Some(mut owed) = Owed::load(state, &record.execution_id) else { return };
    if owed.hooks.is_empty() {
        return;
    }
    let done = owed.run_all(state);
    let hooks_state = if done.is_ok() { "released" } else { hooks::FAILED };
    // The holder's complaint of another application stands, that of the same hooks is void.
    let stands = |app: &Application| app.state == "lost" || app.state == debts::HELD;
    if !record.applications.iter().any(stands) {
        record.reason = match done {
            Err(why) => why,
            Ok(()) if record.closed => String::new(),
            Ok(()) => format!("{by} ran the post of the hooks"),
        };
    }
    for app in record.applications.iter_mut().filter(|app| app.name == NAME) {
        app.state = hooks_state.into();
    }
    let _ = state.save(record);
}

/// What is still owed of an execution, in words.
#[must_use]
pub fn rest(state: &State, execution_id: &str) -> Option<String> {
    let hooks = Owed::load(state, execution_id).map(|owed| owed.hooks).unwrap_or_default();
    let names: Vec<String> = hooks
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let hooks = (!names.is_empty())
        .then(|| format!("the post of these hooks is still owed: {}", names.join(", ")));
    let all: Vec<String> = debts::rest(state, execution_id).into_iter().chain(hooks).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Forgets what is owed of an execution: it was tried when another one was to begin.
pub fn forget(state: &State, execution_id: &str) {
    let _ = fs::remove_file(state.hooks_file(execution_id));
}

/// What the hooks of an execution have said when they were run with `stage`.
#[must_use]
pub fn said(state: &State, execution_id: &str, stage: &str) -> Vec<String> {
    let said = Owed::load(state, execution_id).map(|owed| owed.said).unwrap_or_default();
    said.into_iter().filter(|(of, _)| of == stage).map(|(_, line)| line).collect()
}

/// Logs what the hooks of an execution have said after the thaw.
pub fn log(state: &State, execution_id: &str) {
    said(state, execution_id, "post").iter().for_each(|line| log::line(line));
}
