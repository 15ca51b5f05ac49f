//! Restores and drills: the loop around `stillpoint_restore`. Look, ask what comes next, do it,
//! write down what became true, until nothing is owed.
//!
//! A job is on record before anything of it is done, and every act can be repeated, or is on record
//! before it is done, so whoever comes after a driver that died goes on.

pub mod outside;
mod perform;
pub mod prepare;
mod request;

use stillpoint_restore::{Fact, Job, Next, Order, Phase, apply, next, refused};

use self::outside::{JobSaveFault, Lease, Outside, RecordedJob};
use crate::outside::{Fault, FaultKind};

pub use request::{Becomes, Request};

/// EC2's states change within seconds.
const LOOK_MS: u64 = 2_000;
/// What is left of the driver's time when it begins nothing new: the longest single call.
const MARGIN_MS: u64 = 20_000;

/// How far a driver may go.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The driver's name, which no other driver has.
    pub driver: String,
    /// When the driver will certainly be dead, in ms since the epoch.
    pub dead_at_ms: u64,
}

/// How far a job came.
#[derive(Clone, Debug)]
pub enum Advance {
    /// It is over now.
    Finished(Box<Job>),
    /// It was over before.
    AlreadyFinished(Box<Job>),
    /// Somebody else drives it, or did a moment ago.
    Busy,
    /// Its next driver goes on: the time of this one is over, or what is owed was refused.
    Later(Phase),
}

/// Drives a job: a new one of this order, or the one on record.
///
/// # Errors
/// The record's or the reads' faults; the job goes on with its next driver.
pub async fn advance<O: Outside>(
    outside: &O,
    order: Order,
    limits: &Limits,
) -> Result<Advance, Fault> {
    let recorded = outside.load_job(&order.id).await?;
    drive(outside, recorded, Some(order), limits).await
}

/// Drives the job on record, if it is not over.
///
/// # Errors
/// As [`advance`].
pub async fn resume<O: Outside>(
    outside: &O,
    job_id: &str,
    limits: &Limits,
) -> Result<Option<Advance>, Fault> {
    match outside.load_job(job_id).await? {
        None => Ok(None),
        recorded => drive(outside, recorded, None, limits).await.map(Some),
    }
}

async fn drive<O: Outside>(
    outside: &O,
    recorded: Option<RecordedJob>,
    order: Option<Order>,
    limits: &Limits,
) -> Result<Advance, Fault> {
    let (mut job, mut version) = match (recorded, order) {
        (Some(one), _) if one.job.phase == Phase::Done => {
            return Ok(Advance::AlreadyFinished(Box::new(one.job)));
        }
        (Some(one), _) if one.lease.until_ms > outside.now_ms() => return Ok(Advance::Busy),
        (Some(one), _) => (one.job, Some(one.version)),
        (None, Some(order)) => (Job::new(order, outside.now_ms()), None),
        (None, None) => return Ok(Advance::Busy),
    };
    let alive = Lease { driver: limits.driver.clone(), until_ms: limits.dead_at_ms };
    let stopped = Lease { driver: limits.driver.clone(), until_ms: 0 };
    if !save(outside, &job, &mut version, &alive).await? {
        return Ok(Advance::Busy);
    }
    loop {
        if outside.now_ms() + MARGIN_MS > limits.dead_at_ms {
            save(outside, &job, &mut version, &stopped).await?;
            return Ok(Advance::Later(job.phase));
        }
        let world = perform::look(outside, &job).await?;
        let act = match next(&job, &world, outside.now_ms()) {
            Next::Nothing => {
                save(outside, &job, &mut version, &stopped).await?;
                return Ok(Advance::Finished(Box::new(job)));
            }
            Next::Wait(what) => {
                tracing::info!(job_id = job.order.id, phase = ?job.phase, what, "waiting");
                outside.sleep_ms(LOOK_MS).await;
                continue;
            }
            Next::Note(fact) => {
                if !write_down(outside, &mut job, fact, &mut version, &alive).await? {
                    return Ok(Advance::Busy);
                }
                continue;
            }
            Next::ActOnRecord(fact, act) => {
                if !write_down(outside, &mut job, fact, &mut version, &alive).await? {
                    return Ok(Advance::Busy);
                }
                act
            }
            Next::Act(act) => act,
        };
        let fact = match perform::perform(outside, &job, &act).await {
            Ok(Some(fact)) => fact,
            Ok(None) => {
                outside.sleep_ms(LOOK_MS).await;
                continue;
            }
            Err(fault) if fault.kind == FaultKind::Refused => {
                tracing::error!(job_id = job.order.id, ?act, %fault, "refused");
                let Some(fact) = refused(&job, &act, &fault.to_string()) else {
                    save(outside, &job, &mut version, &stopped).await?;
                    return Ok(Advance::Later(job.phase));
                };
                outside.sleep_ms(LOOK_MS).await;
                fact
            }
            Err(fault) => {
                // It may have happened or not; the next look tells.
                tracing::warn!(job_id = job.order.id, ?act, %fault, "asked again");
                outside.sleep_ms(LOOK_MS).await;
                continue;
            }
        };
        if !write_down(outside, &mut job, fact, &mut version, &alive).await? {
            return Ok(Advance::Busy);
        }
    }
}

/// Applies a fact and saves it; false if somebody else drives the job now.
async fn write_down<O: Outside>(
    outside: &O,
    job: &mut Job,
    fact: Fact,
    version: &mut Option<u64>,
    alive: &Lease,
) -> Result<bool, Fault> {
    tracing::info!(job_id = job.order.id, phase = ?job.phase, ?fact, "step");
    apply(job, fact);
    save(outside, job, version, alive).await
}

/// Whether the record is ours; false if somebody else drives the job now.
async fn save<O: Outside>(
    outside: &O,
    job: &Job,
    version: &mut Option<u64>,
    lease: &Lease,
) -> Result<bool, Fault> {
    match outside.save_job(job, *version, lease).await {
        Ok(new) => {
            *version = Some(new);
            Ok(true)
        }
        Err(JobSaveFault::Overtaken) => {
            // Or this very write happened, and its answer was lost.
            let ours = version.unwrap_or(0) + 1;
            let expected = RecordedJob { job: job.clone(), version: ours, lease: lease.clone() };
            let found = outside.load_job(&job.order.id).await?;
            *version = Some(ours);
            Ok(found == Some(expected))
        }
        Err(JobSaveFault::Fault(fault)) => Err(fault),
    }
}
