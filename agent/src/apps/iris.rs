//! InterSystems IRIS, every running instance, on the host or in a container, by its own
//! session program: the write daemon is suspended, journals go on.
//!
//! Exit codes of the class methods: 5 is yes or done, 3 is no or failed. Source:
//! `Backup.General` in the class reference of IRIS. A suspension that nobody ends ends by
//! itself after `WDSuspendLimit`; that is asked for before the thaw.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stillpoint_wire::receipt::Application as Described;

use crate::apps::debts::{self, Debt};
use crate::apps::vendor::{self, Ended};
use crate::apps::{Application, cover, irisfind};
use crate::cli::Call;
use crate::plan::Plan;

/// What the application is called in a receipt.
pub const NAME: &str = "iris";
const YES: i32 = 5;
const NO: i32 = 3;
/// The suspension outlasts the hold by this, should nobody end it.
const SPARE: Duration = Duration::from_secs(30);
/// Users' updates hang rather than stop the freeze when it is longer than this; at most
/// 1200.
const FREEZE_TIMEOUT_MAX: u64 = 1_200;

/// One running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Its folder, as the place where it runs knows it.
    pub folder: PathBuf,
    /// Its version.
    pub version: String,
    /// What runs a command in its container; empty on the host.
    pub within: Vec<String>,
}

impl Instance {
    fn method(&self, method: &str, budget: Duration) -> Result<Ended, String> {
        let call = format!("##Class(Backup.General).{method}");
        let mut words = self.within.clone();
        words.extend(["irissession", &self.name, "-U", "%SYS", &call].map(str::to_owned));
        let owned = if self.within.is_empty() { &self.folder } else { Path::new("/") };
        vendor::run(vendor::command(&words, owned)?, budget)
    }

    /// Whether its write daemon is suspended.
    fn is_suspended(&self, budget: Duration) -> Result<bool, String> {
        let ended = self.method("IsWDSuspendedExt()", budget)?;
        match ended.code {
            YES => Ok(true),
            NO => Ok(false),
            code => Err(format!("it cannot be asked (exit code {code}): {}", ended.word())),
        }
    }

    /// Lets its write daemon go on, if it is suspended.
    ///
    /// # Errors
    /// Why it may still be suspended.
    pub fn end(&self, budget: Duration) -> Result<(), String> {
        if !self.is_suspended(budget)? {
            return Ok(());
        }
        let ended = self.method("ExternalThaw(\"\")", budget)?;
        let failed = || format!("ExternalThaw failed (exit code {}): {}", ended.code, ended.word());
        if ended.code == YES { Ok(()) } else { Err(failed()) }
    }
}

#[derive(Debug)]
struct Iris {
    instance: Instance,
    journal: Option<PathBuf>,
    execution_id: String,
    deadline: Duration,
    is_owed: bool,
    position: String,
    state: &'static str,
}

/// Every instance that runs here.
pub(super) fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let instances = irisfind::instances()?;
    if instances.is_empty() {
        return Err("no InterSystems IRIS instance runs here".into());
    }
    let adapter = |instance| {
        Box::new(Iris {
            instance,
            journal: None,
            execution_id: call.execution_id.clone(),
            deadline: call.config.deadline,
            is_owed: false,
            position: String::new(),
            state: "found",
        }) as Box<dyn Application>
    };
    Ok(instances.into_iter().map(adapter).collect())
}

impl Iris {
    fn says(&self, what: impl std::fmt::Display) -> String {
        let within = self.instance.within.last().map(|name| format!(" in {name}"));
        format!("iris {}{}: {what}", self.instance.name, within.unwrap_or_default())
    }

    fn freeze(&mut self, budget: Duration) -> Result<(), String> {
        let limit = (self.deadline + SPARE).as_secs();
        let hang = (limit * 2).min(FREEZE_TIMEOUT_MAX);
        let text = format!("stillpoint {}", self.execution_id);
        let time = budget.as_secs().max(1);
        let method = format!("ExternalFreeze(\"\",\"{text}\",1,{time},,,{hang},,,{limit})");
        let debt = Debt::Iris(self.instance.clone());
        debts::owe(&self.execution_id, &debt)?;
        self.is_owed = true;
        let ended = self.instance.method(&method, budget)?;
        match ended.code {
            YES => Ok(()),
            code => Err(format!("ExternalFreeze failed (exit code {code}): {}", ended.word())),
        }
    }
}

impl Application for Iris {
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String> {
        let found = irisfind::folders(&self.instance).map_err(|why| self.says(why))?;
        cover::check(plan, &found.all).map_err(|why| self.says(why))?;
        self.journal = found.journal;
        if self.instance.is_suspended(budget).map_err(|why| self.says(why))? {
            return Err(self.says("it is suspended already, by somebody else"));
        }
        Ok(())
    }

    fn quiesce(&mut self, budget: Duration) -> Result<(), String> {
        self.freeze(budget).map_err(|why| self.says(why))?;
        let newest = self.journal.as_deref().and_then(newest).unwrap_or_default();
        self.position = if newest.is_empty() { newest } else { format!("journal {newest}") };
        self.state = "quiesced";
        Ok(())
    }

    fn release(&mut self, _kept: bool, budget: Duration) -> Result<(), String> {
        if !self.is_owed {
            return Ok(());
        }
        let until = Instant::now() + budget.max(vendor::RELEASE_PATIENCE);
        let left = || until.saturating_duration_since(Instant::now());
        let (was_held, debt) = (self.state == "quiesced", Debt::Iris(self.instance.clone()));
        self.state = "lost";
        let proven = self.instance.is_suspended(left()).and_then(|suspended| {
            let resumed = "its write daemon had resumed by itself before the thaw";
            if suspended { Ok(()) } else { Err(resumed.into()) }
        });
        match self.instance.end(left()) {
            Ok(()) => debts::paid(&self.execution_id, &debt),
            Err(why) => {
                self.state = debts::HELD;
                return Err(self.says(why));
            }
        }
        if was_held {
            proven.map_err(|why| self.says(why))?;
            // Only its list of backups is without an entry when this fails.
            let _ = self.instance.method("ExternalSetHistory(\"\")", left());
            self.state = "released";
        }
        Ok(())
    }

    fn describe(&self) -> Described {
        Described {
            name: NAME.into(),
            version: self.instance.version.clone(),
            state: self.state.into(),
            position: self.position.clone(),
        }
    }

    fn restore_note(&self) -> String {
        format!(
            "iris {} {}: restore databases, WIJ and journals together and start it; databases \
             alone need the journals from {} on",
            self.instance.name, self.instance.version, self.position
        )
    }
}

/// The newest journal, which the freeze has switched to.
fn newest(folder: &Path) -> Option<String> {
    let names =
        fs::read_dir(folder).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.filter(|name| name.bytes().next().is_some_and(|digit| digit.is_ascii_digit())).max()
}
