//! The applications that can be quiesced, behind one small trait.
//!
//! `filesystem` needs no adapter: the freeze is all of it. An adapter never opens a
//! connection, a file or a process while anything is frozen; what it needs then, it
//! has open from `quiesce` on. Hooks come first and are released last: what they stop may
//! be a client of the others.

pub mod cover;
pub mod debts;
pub mod hooks;
pub mod iris;
pub mod irisfind;
pub mod link;
pub mod login;
pub mod mongodb;
pub mod mysql;
pub mod owed;
pub mod pgfind;
pub mod pgwire;
pub mod postgresql;
pub mod procs;
pub mod redis;
pub mod saphana;
pub mod sqlserver;
pub mod vendor;
pub mod wanted;

use std::fmt::Debug;
use std::time::Duration;

use stillpoint_wire::receipt::Application as Described;

use crate::apps::wanted::Wanted;
use crate::cli::Call;
use crate::plan::Plan;

/// One running application.
pub trait Application: Debug {
    /// Whether it can be quiesced and all of it is on the filesystems of the plan.
    ///
    /// # Errors
    /// Why not, in a sentence; nothing was changed.
    fn preflight(&mut self, plan: &Plan, budget: Duration) -> Result<(), String>;

    /// Brings it to a state that is quick to recover from, and keeps what is needed to
    /// prove later that it was there all the time.
    ///
    /// # Errors
    /// Why not, in a sentence.
    fn quiesce(&mut self, budget: Duration) -> Result<(), String>;

    /// The last step before the freeze, for what stalls its writers; whoever needs no such
    /// step has none. Right after it, the freeze.
    ///
    /// # Errors
    /// Why not, in a sentence.
    fn lock(&mut self, _budget: Duration) -> Result<(), String> {
        Ok(())
    }

    /// Lets it go, after the thaw; `kept` says whether the hold lasted until its post-script.
    ///
    /// # Errors
    /// Why the hold was not what it seemed, as when the server restarted in between.
    fn release(&mut self, kept: bool, budget: Duration) -> Result<(), String>;

    /// What a receipt says of it.
    fn describe(&self) -> Described;

    /// What a person who restores it has to know.
    fn restore_note(&self) -> String;
}

type Detector = fn(&Call) -> Result<Vec<Box<dyn Application>>, String>;

/// Finds what is to be quiesced, those that take longest first; released in the reverse.
///
/// # Errors
/// Why it cannot be found, in a sentence.
pub fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let mut apps = Vec::new();
    if call.wants(Wanted::Hooks) || call.config.hooks.enabled && hooks::any() {
        apps.push(hooks::detect(call)?);
    }
    let detectors: [(Wanted, Detector); 7] = [
        (Wanted::SapHana, saphana::detect),
        (Wanted::Iris, iris::detect),
        (Wanted::PostgreSql, postgresql::detect),
        (Wanted::MySql, mysql::detect),
        (Wanted::MongoDb, mongodb::detect),
        (Wanted::SqlServer, sqlserver::detect),
        (Wanted::Redis, redis::detect),
    ];
    for (wanted, detector) in detectors {
        if call.wants(wanted) {
            apps.extend(detector(call)?);
        }
    }
    Ok(apps)
}
