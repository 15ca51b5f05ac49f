//! What restores and drills need of the world.

use std::collections::BTreeMap;
use std::future::Future;

pub use stillpoint_drive::outside::Commands;
use stillpoint_restore::{InstanceSeen, Item, Job, Launch, VolumeSeen};

use crate::outside::{Bus, Clock, Fault, Label, Shelf};

/// An instance, and how another one like it is launched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// As a job sees it.
    pub seen: InstanceSeen,
    /// What a new one gets where nothing else is said.
    pub launch: Launch,
}

/// Instances and volumes. All of it can be asked for again.
pub trait Machines: Sync {
    /// An instance; none if EC2 does not know it.
    fn instance_seen(
        &self,
        instance_id: &str,
    ) -> impl Future<Output = Result<Option<InstanceFacts>, Fault>> + Send;
    /// Volumes by id; those that EC2 does not know are left out.
    fn volumes_seen(
        &self,
        volume_ids: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, VolumeSeen>, Fault>> + Send;
    /// RunInstances with the job's id as token.
    fn launch_instance(
        &self,
        job: &Job,
        launch: &Launch,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<String, Fault>> + Send;
    /// CreateVolume with job and device as token.
    fn create_volume(
        &self,
        job: &Job,
        item: &Item,
        tags: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<String, Fault>> + Send;
    /// StopInstances.
    fn stop_instance(&self, instance_id: &str) -> impl Future<Output = Result<(), Fault>> + Send;
    /// StartInstances.
    fn start_instance(&self, instance_id: &str) -> impl Future<Output = Result<(), Fault>> + Send;
    /// AttachVolume.
    fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// DetachVolume.
    fn detach_volume(&self, volume_id: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A job as it is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedJob {
    /// The job.
    pub job: Job,
    /// The version that the next write has to name.
    pub version: u64,
    /// Whose write this was.
    pub lease: Lease,
}

/// Why a write did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSaveFault {
    /// The record is not the one that was expected.
    Overtaken,
    /// The table itself.
    Fault(Fault),
}

/// The records of jobs.
pub trait Jobs: Sync {
    /// Reads a job, consistently.
    fn load_job(
        &self,
        job_id: &str,
    ) -> impl Future<Output = Result<Option<RecordedJob>, Fault>> + Send;
    /// Writes a job if the record still has `expected` (none: if there is no record). Returns the
    /// new version.
    fn save_job(
        &self,
        job: &Job,
        expected: Option<u64>,
        lease: &Lease,
    ) -> impl Future<Output = Result<u64, JobSaveFault>> + Send;
    /// The ids of those that are not over.
    fn unfinished_jobs(&self) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;
}

/// Everything together.
pub trait Outside: Clock + Commands + Bus + Shelf + Label + Machines + Jobs {}
impl<T: Clock + Commands + Bus + Shelf + Label + Machines + Jobs> Outside for T {}

/// Who drives a job, and until when they may be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// No two drivers have the same name.
    pub driver: String,
    /// In ms since the epoch; 0 from a driver that stopped of its own accord.
    pub until_ms: u64,
}
