//! The applications that can be quiesced, behind one small trait.
//!
//! `filesystem` needs no adapter: the freeze is all of it. An adapter never opens a
//! connection, a file or a process while anything is frozen; what it needs then, it
//! has open from `quiesce` on. Hooks come first and are released last: what they stop may
//! be a client of the others.

pub mod cover;
pub mod hooks;
pub mod link;
pub mod login;
pub mod mysql;
pub mod owed;
pub mod pgfind;
pub mod pgwire;
pub mod postgresql;
pub mod procs;
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

    /// Lets it go, after the thaw.
    ///
    /// # Errors
    /// Why the hold was not what it seemed, as when the server restarted in between.
    fn release(&mut self, budget: Duration) -> Result<(), String>;

    /// What a receipt says of it.
    fn describe(&self) -> Described;

    /// What a person who restores it has to know.
    fn restore_note(&self) -> String;
}

/// Finds what is to be quiesced, in that order; released in the reverse.
///
/// # Errors
/// Why it cannot be found, in a sentence.
pub fn detect(call: &Call) -> Result<Vec<Box<dyn Application>>, String> {
    let mut apps = Vec::new();
    if call.wants(Wanted::Hooks) || call.config.hooks.enabled && hooks::any() {
        apps.push(hooks::detect(call)?);
    }
    if call.wants(Wanted::PostgreSql) {
        apps.extend(postgresql::detect()?);
    }
    if call.wants(Wanted::MySql) {
        apps.extend(mysql::detect(call)?);
    }
    Ok(apps)
}
