//! What the functions need of the world beside what one run needs: commands for many
//! instances, the budget, the plan's sources, and the record of firings.

use std::future::Future;

use stillpoint_budget::Bucket;
use stillpoint_policy::{Inventory, Tag};

use crate::outside::{
    Bus, Clock, CommandState, Commands, Fault, Journal, Ledger, SaveFault, SendCommand, Snapshots,
};

/// When a reserved call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// From this time on, in ms since the epoch; it is reserved.
    At(u64),
    /// Not by the time that was asked for; nothing is reserved. It would have been this.
    NotBefore(u64),
}

/// The budget of CreateSnapshots calls, as one run sees it.
pub trait Budget: Sync {
    /// Reserves one call that can be made by this time, in ms since the epoch.
    fn reserve(&self, by_ms: u64) -> impl Future<Output = Result<Slot, Fault>> + Send;
    /// EC2 has throttled a call, for the whole account.
    fn throttled(&self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The budget as it is kept for everybody in the account and Region.
pub trait Buckets: Sync {
    /// Reads it, consistently, with the version that the next write has to name; none if
    /// nobody has written it yet.
    fn bucket(&self) -> impl Future<Output = Result<(Bucket, Option<u64>), Fault>> + Send;
    /// Writes it if it still has `expected`.
    fn save_bucket(
        &self,
        bucket: &Bucket,
        expected: Option<u64>,
    ) -> impl Future<Output = Result<(), SaveFault>> + Send;
}

/// Systems Manager as it is: one command for many instances.
pub trait Fleet: Commands {
    /// Sends one command to these instances, fifty at most; `command.instance_id` is not
    /// looked at. There is no token: after [`crate::outside::FaultKind::Unknown`] it may run
    /// on any of them. One instance that SSM does not take refuses the call for all.
    fn send_to(
        &self,
        instance_ids: &[String],
        command: &SendCommand,
    ) -> impl Future<Output = Result<String, Fault>> + Send;
    /// How a command stands on every instance that SSM shows by now. Outputs may be cut.
    fn states(
        &self,
        command_id: &str,
    ) -> impl Future<Output = Result<Vec<(String, CommandState)>, Fault>> + Send;
}

/// What a plan is made of.
pub trait Planning: Sync {
    /// A policy's JSON. The fault's code is `ParameterNotFound` if there is none of that id.
    fn policy_json(&self, policy_id: &str) -> impl Future<Output = Result<String, Fault>> + Send;
    /// The instances that carry any of the tags or have one of the ids.
    fn inventory(
        &self,
        targets: &[Tag],
        instance_ids: Option<&[String]>,
    ) -> impl Future<Output = Result<Inventory, Fault>> + Send;
    /// Notes of each Windows instance of it which VSS components it has.
    fn see_vss_components(
        &self,
        inventory: &mut Inventory,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// One firing of one schedule that reached the planner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firing {
    /// The policy.
    pub policy_id: String,
    /// Its schedule.
    pub schedule_name: String,
    /// The scheduled time, RFC 3339 in UTC.
    pub nominal_time: String,
}

/// A schedule that somebody has deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// The policy.
    pub policy_id: String,
    /// Its schedule.
    pub schedule_name: String,
    /// EventBridge's expression, `cron(0 3 * * ? *)`.
    pub expression: String,
    /// The name of the time zone by whose clock it fires.
    pub time_zone: String,
    /// When it was deployed or last changed; before that it may not have fired.
    pub since_ms: u64,
}

/// What should have happened.
pub trait Watch: Sync {
    /// Every deployed schedule.
    fn deployed(&self) -> impl Future<Output = Result<Vec<Deployed>, Fault>> + Send;
    /// Whether a firing is on record.
    fn has_fired(&self, firing: &Firing) -> impl Future<Output = Result<bool, Fault>> + Send;
    /// Puts a firing on record: planned, refused, or told as missing.
    fn record_firing(&self, firing: &Firing) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// One account and Region, with everything that the functions need of it.
pub trait Account:
    Clock + Fleet + Snapshots + Bus + Ledger + Buckets + Planning + Watch + Journal
{
}
impl<T: Clock + Fleet + Snapshots + Bus + Ledger + Buckets + Planning + Watch + Journal> Account
    for T
{
}
