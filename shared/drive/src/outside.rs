//! What a run needs of the world, as traits. An error says whether the effect may have
//! happened, since that is the only thing that a run can decide on.

use std::collections::BTreeMap;
use std::future::Future;

use stillpoint_run::{Fact, Order, Run, Seen, SnapshotSet, SnapshotTaken};

pub use crate::surroundings::{
    Account, Buckets, Budget, Deployed, Firing, Fleet, Planning, Slot, Watch,
};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether the effect may have happened.
    pub kind: FaultKind,
    /// The service's own error code, `InvalidInstanceID.NotFound`.
    pub code: String,
    /// The service's words.
    pub text: String,
}

/// The three things an error can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It did not happen; the same call may succeed later.
    Retry,
    /// It did not happen, and will not.
    Refused,
    /// It may have happened.
    Unknown,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Fault {}

/// Time.
pub trait Clock: Sync {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> u64;
    /// Waits.
    fn sleep_ms(&self, ms: u64) -> impl Future<Output = ()> + Send;
}

/// A document to be run on one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendCommand {
    /// The instance, and no other.
    pub instance_id: String,
    /// The document's name or ARN.
    pub document: String,
    /// The document's parameters; each is a list for SSM.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// How long SSM may try to deliver it, in seconds.
    pub delivery_secs: u32,
    /// Shown in the console; carries the run id.
    pub comment: String,
}

/// What SSM says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandState {
    /// How far it is.
    pub progress: Progress,
    /// `StatusDetails`.
    pub details: String,
    /// The script's exit code, once it ended.
    pub exit_code: Option<i32>,
    /// Its output, as far as SSM keeps it.
    pub stdout: String,
    /// Its errors, as far as SSM keeps them.
    pub stderr: String,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not on the instance yet, as far as SSM knows.
    Waiting,
    /// Running.
    Running,
    /// Ended with success.
    Succeeded,
    /// Ended without; it may have run.
    Failed,
    /// It ran for too long, and the agent on the instance ended it.
    OutOfTime,
    /// It was cancelled; what had run of it was ended.
    Cancelled,
    /// SSM gave up on it: it may have run, and may run yet.
    GivenUp,
    /// It never reached the instance.
    NeverRan,
}

impl CommandState {
    /// Of a command that SSM does not show yet.
    #[must_use]
    pub fn waiting() -> Self {
        Self {
            progress: Progress::Waiting,
            details: String::new(),
            exit_code: None,
            stdout: String::new(),
            stderr: String::new(),
        }
    }
}

impl Progress {
    /// What an invocation's `Status` and `StatusDetails` mean. The status decides and the
    /// details refine; the documentation prints some details with blanks and some without.
    ///
    /// A status that SSM may invent yet is taken for one that still waits: the time limits
    /// end the waiting, and the post-script follows.
    #[must_use]
    pub fn of(status: &str, details: &str) -> Self {
        let details: String = details
            .chars()
            .filter(|one| !one.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect();
        match status {
            "Success" => Self::Succeeded,
            "InProgress" | "Cancelling" => Self::Running,
            "TimedOut" if details == "executiontimedout" => Self::OutOfTime,
            "TimedOut" => Self::GivenUp,
            "Cancelled" | "Failed" => match details.as_str() {
                "undeliverable" | "invalidplatform" | "accessdenied" => Self::NeverRan,
                "terminated" => Self::GivenUp,
                _ if status == "Cancelled" => Self::Cancelled,
                _ => Self::Failed,
            },
            _ => Self::Waiting,
        }
    }
}

/// Systems Manager.
pub trait Commands: Sync {
    /// Sends a command. There is no token: after [`FaultKind::Unknown`] it may run.
    fn send(&self, command: &SendCommand) -> impl Future<Output = Result<String, Fault>> + Send;
    /// Asks how a command stands; of a document with several steps, how that step stands.
    /// An invocation that SSM does not show yet is `Waiting`. The whole of its output.
    fn state(
        &self,
        command_id: &str,
        instance_id: &str,
        step: Option<&str>,
    ) -> impl Future<Output = Result<CommandState, Fault>> + Send;
    /// What each step of a command left in SSM's list of them.
    fn step_outputs(
        &self,
        command_id: &str,
        instance_id: &str,
    ) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;
    /// Searches for the command to this instance with this comment, sent since then.
    fn find_command(
        &self,
        sought: &SendCommand,
        since_ms: u64,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send;
    /// Asks SSM to cancel it; best effort.
    fn cancel(
        &self,
        command_id: &str,
        instance_id: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A snapshot that may be one of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its id, its volume and what the VSS document says of it.
    pub taken: SnapshotTaken,
    /// When it began, in ms since the epoch, by EC2's clock.
    pub at_ms: u64,
    /// Its description.
    pub description: String,
    /// Whether it has any tag.
    pub tagged: bool,
}

/// The snapshot side of EC2.
pub trait Snapshots: Sync {
    /// Calls CreateSnapshots exactly once. No token, no retries underneath.
    fn create(
        &self,
        order: &Order,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<SnapshotSet, Fault>> + Send;
    /// Searches for the set of a run by its tag.
    fn find(&self, run_id: &str)
    -> impl Future<Output = Result<Option<SnapshotSet>, Fault>> + Send;
    /// Every snapshot of these volumes that began since then, whoever made it.
    fn begun_since(
        &self,
        volume_ids: &[String],
        since_ms: u64,
    ) -> impl Future<Output = Result<Vec<Begun>, Fault>> + Send;
    /// Puts tags on snapshots or an instance.
    fn tag(
        &self,
        resource_id: &str,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The bus.
pub trait Bus: Sync {
    /// Publishes events of ours of one type. At least once: after a fault, some of them may
    /// have been published, and all of them are published again.
    fn publish(
        &self,
        detail_type: &str,
        details: Vec<String>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What happened, for whoever reads it later. Neither waits nor fails.
pub trait Journal: Sync {
    /// One step of a run: what was seen of it, and what became true.
    fn step(&self, run: &Run, seen: &Seen, facts: &[Fact]);
    /// One line of CloudWatch's embedded metric format.
    fn metric(&self, line: String);
}

/// A run as it is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The run.
    pub run: Run,
    /// The version that the next write has to name.
    pub version: u64,
    /// Whose write this was.
    pub lease: Lease,
}

/// Who drives a run, and until when they may be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// No two drivers have the same name, also not two in one invocation.
    pub driver: String,
    /// In ms since the epoch; 0 from a driver that stopped of its own accord.
    pub until_ms: u64,
    /// When the guard looks after the run, unless somebody has written it by then.
    pub due_ms: u64,
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveFault {
    /// The record is not the one that was expected: somebody else wrote in between, or
    /// this very write did, and its answer was lost.
    Overtaken,
    /// The ledger itself.
    Fault(Fault),
}

/// The run ledger.
pub trait Ledger: Sync {
    /// Reads a run, consistently.
    fn load(&self, run_id: &str) -> impl Future<Output = Result<Option<Recorded>, Fault>> + Send;
    /// Writes a run if the record still has `expected` (none: if there is no record).
    /// Returns the new version.
    fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> impl Future<Output = Result<u64, SaveFault>> + Send;
    /// The ids of unfinished runs whose due time has passed, the longest overdue first, so
    /// many at most. May lag behind the records.
    fn overdue(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;
}

/// Everything that one run needs.
pub trait Outside: Clock + Commands + Snapshots + Bus + Ledger + Budget + Journal {}
impl<T: Clock + Commands + Snapshots + Bus + Ledger + Budget + Journal> Outside for T {}
