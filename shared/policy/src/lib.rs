//! DLM policies and plans: what is asked for, and what a firing will do.
//!
//! [`parse()`] reads what `aws dlm get-lifecycle-policy` prints and reports every problem at once,
//! [`Policy::next_firings`] says when it fires, and [`plan()`] turns a policy, one firing and an
//! inventory into the very value that is executed.
//!
//! Pure: no clock, no environment, no IO. The caller (the planner, the operator's command line)
//! brings the time and the inventory, and executes the plan.

mod blackout;
mod coincide;
mod cron;
mod estimate;
mod firings;
mod json;
mod parse;
mod plan;
mod policy;
mod reader;
mod report;
mod rules;
mod settings;

pub use coincide::{SetRules, set_rules};
pub use cron::{Cron, CronError};
pub use estimate::{Assumptions, Estimate, MonthlyCost, estimate};
pub use firings::NextFiring;
pub use parse::{INLINE_POLICY_ID, parse};
pub use plan::{
    Attached, Components, Firing, Instance, Inventory, LeftOutInstance, LeftOutVolume, Managed,
    Plan, PlannedRun, PlannedScript, PlannedVolume, Platform, plan,
};
pub use policy::{
    CreateRule, DefaultPolicy, Handler, Policy, Schedule, Script, State, Tag, Variable, VariableTag,
};
pub use report::FieldError;
pub use rules::{Age, FastRestore, RegionCopy, Retain, RetainUnit, Share, Zone};
pub use settings::{
    Blackout, RetentionSettings, START_WITHIN_ALLOWED, START_WITHIN_MINUTES, ScriptSettings,
    Settings,
};
