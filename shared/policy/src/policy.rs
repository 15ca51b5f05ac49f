//! A policy that has been checked: DLM's PolicyDetails for snapshots of instances, as values.
//!
//! Every value here is within DLM's ranges and every default is filled in; nobody re-checks.
//! The only way to make one is `parse`.

use serde::{Deserialize, Serialize};

use crate::cron::Cron;
use crate::rules::{FastRestore, RegionCopy, Retain, Share};
use crate::settings::Settings;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub id: String,
    pub state: State,
    /// What DLM wrote beside the state, for the reader of a policy in ERROR.
    pub status_message: Option<String>,
    pub description: Option<String>,
    /// An instance is a target when it has any of these tags, key and value exactly. Empty for a
    /// default policy, whose targets are all instances.
    pub target_tags: Vec<Tag>,
    /// What a default policy (PolicyLanguage SIMPLIFIED) has in place of target tags.
    pub default_policy: Option<DefaultPolicy>,
    /// One to four, names unique.
    pub schedules: Vec<Schedule>,
    pub exclude_boot_volume: bool,
    /// A data volume with any of these tags is not in the snapshot set.
    pub exclude_data_volume_tags: Vec<Tag>,
    /// What DLM has no field for.
    pub settings: Settings,
}

/// A default policy: every instance that has no recent backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultPolicy {
    /// An instance whose newest backup is younger than this many days is left out: 1 to 7.
    pub create_interval_days: u32,
    /// An instance with any of these tags is left out.
    pub exclude_tags: Vec<Tag>,
    /// Also the last set of an instance that is gone is deleted at its age, and sets go on being
    /// deleted when the policy does not create any more.
    pub extend_deletion: bool,
}

impl Policy {
    /// Whether any schedule makes its snapshots by AWS_VSS_BACKUP.
    pub fn uses_vss(&self) -> bool {
        let scripts = self.schedules.iter().filter_map(|schedule| schedule.script.as_ref());
        scripts.into_iter().any(|script| script.handler == Handler::Vss)
    }

    /// DLM neither creates nor deletes for a policy that is DISABLED or in ERROR.
    pub fn enabled(&self) -> bool {
        self.state == State::Enabled
    }

    /// The schedule of that name, or the first one.
    pub fn schedule(&self, name: Option<&str>) -> Option<&Schedule> {
        match name {
            Some(name) => self.schedules.iter().find(|schedule| schedule.name == name),
            None => self.schedules.first(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Enabled,
    Disabled,
    Error,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Enabled => "ENABLED",
            State::Disabled => "DISABLED",
            State::Error => "ERROR",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `Schedule 1` and so on where the policy names none, as DLM's console does.
    pub name: String,
    pub copy_tags: bool,
    pub tags_to_add: Vec<Tag>,
    pub variable_tags: Vec<VariableTag>,
    pub create_rule: CreateRule,
    pub script: Option<Script>,
    pub retain: Retain,
    pub fast_restore: Option<FastRestore>,
    /// Each Region once, at most three.
    pub copies: Vec<RegionCopy>,
    /// At most one.
    pub shares: Vec<Share>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableTag {
    pub key: String,
    pub variable: Variable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    InstanceId,
    Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateRule {
    Cron(Cron),
    /// `cron` says the same thing as the interval, so that there is one way to count firings.
    Interval {
        every_hours: u32,
        /// False where the policy has no Times: DLM then picks one, we take 00:00.
        time_given: bool,
        cron: Cron,
    },
}

impl CreateRule {
    /// When it fires; its text is what EventBridge Scheduler takes as ScheduleExpression.
    pub fn cron(&self) -> &Cron {
        match self {
            CreateRule::Cron(cron) | CreateRule::Interval { cron, .. } => cron,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The SSM document that is run.
    pub document: String,
    pub handler: Handler,
    pub pre: bool,
    pub post: bool,
    /// Of each stage; of a VSS document, for the whole of it.
    pub timeout_secs: u32,
    pub retries: u32,
    /// ExecuteOperationOnScriptFailure: a crash-consistent set when the pre-script fails.
    pub fallback: bool,
}

/// How a document is run, by ExecutionHandler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Handler {
    /// Pre-script, CreateSnapshots, post-script.
    Document,
    /// The same with AWS's own document for SAP HANA.
    SapHana,
    /// AWS_VSS_BACKUP: AWSEC2-CreateVssSnapshot makes the snapshots itself, on the instance.
    Vss,
}
