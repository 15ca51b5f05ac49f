//! Drives one run as far as it goes.
//!
//! Two drivers of one run are kept apart by the record: its version fences every
//! write, and its lease says until when the last driver may be alive. Without the
//! lease a second delivery would take a run in its freeze window for an interrupted
//! one and thaw it.

use stillpoint_run::{Fact, Seen};
use stillpoint_run::{Order, Owed, Phase, Run, Stage, apply, decide, owed, record_first};
use stillpoint_wire::ids;

use crate::command::stage_ms_max;
use crate::outside::{Fault, Lease, Outside, Recorded, SaveFault};
use crate::perform::perform;

/// What the CreateSnapshots call and the records around an attempt may take.
const AROUND_ATTEMPT_MS: u64 = 30_000;
/// The ledger is asked this often before the driver gives up; nothing is frozen then.
const SAVES_MAX: u32 = 4;
const SAVE_WAIT_MS: u64 = 200;

/// How far a driver may go.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The driver's name, which no other driver has.
    pub driver: String,
    /// When the driver will certainly be dead, in ms since the epoch.
    pub dead_at_ms: u64,
}

/// How far a run came.
#[derive(Clone, Debug)]
pub enum Advance {
    /// It is finished now.
    Finished(Box<Run>),
    /// It was finished before: a duplicate delivery.
    AlreadyFinished,
    /// Somebody else may be driving it until then.
    Busy {
        /// In ms since the epoch.
        until_ms: u64,
    },
    /// Another attempt would not end in the driver's time; nothing is held.
    OutOfTime,
}

/// Why a run could not be driven to its end. It goes on with the next delivery.
#[derive(Debug)]
pub enum DriveError {
    /// The ledger.
    Ledger(Fault),
    /// Something that is owed could not be done.
    Owed(Fault),
    /// Somebody else drives the run now.
    Overtaken,
}

impl std::fmt::Display for DriveError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ledger(fault) => write!(formatter, "the ledger does not answer: {fault}"),
            Self::Owed(fault) => write!(formatter, "the run cannot go on: {fault}"),
            Self::Overtaken => formatter.write_str("somebody else drives this run now"),
        }
    }
}

impl std::error::Error for DriveError {}

/// Drives the run of `order`: a new one, or the one on record.
///
/// # Errors
/// See [`DriveError`]. What was done is on record or is found again by its tag and
/// execution id; nothing is done twice by coming back.
pub async fn advance<O: Outside>(
    outside: &O,
    order: Order,
    limits: Limits,
) -> Result<Advance, DriveError> {
    let now_ms = outside.now_ms();
    let (mut run, mut version) = match outside.load(&order.run_id).await {
        Err(fault) => return Err(DriveError::Ledger(fault)),
        Ok(None) => (Run::new(order, now_ms), None),
        Ok(Some(recorded)) if recorded.run.phase == Phase::Done => {
            return Ok(Advance::AlreadyFinished);
        }
        Ok(Some(recorded)) if recorded.lease.until_ms > now_ms => {
            return Ok(Advance::Busy { until_ms: recorded.lease.until_ms });
        }
        Ok(Some(recorded)) => {
            let mut run = recorded.run;
            // A driver that stopped of its own accord left the lease at 0 and nothing
            // under way. One whose lease ran out died somewhere in between.
            if recorded.lease.until_ms != 0 {
                let next_execution_id = ids::execution_id(&run.order.run_id, run.attempt + 1);
                step(&mut run, &Seen::Begin { next_execution_id, now_ms }, now_ms);
            }
            (run, Some(recorded.version))
        }
    };
    let alive = Lease { driver: limits.driver.clone(), until_ms: limits.dead_at_ms };
    let stopped = Lease { driver: limits.driver.clone(), until_ms: 0 };
    loop {
        let owed = owed(&run);
        if owed == Owed::Nothing {
            save(outside, &run, &mut version, &stopped).await?;
            return Ok(Advance::Finished(Box::new(run)));
        }
        if out_of_time(&run, &owed, outside.now_ms(), limits.dead_at_ms) {
            save(outside, &run, &mut version, &stopped).await?;
            return Ok(Advance::OutOfTime);
        }
        if record_first(&run) {
            save(outside, &run, &mut version, &alive).await?;
        }
        let until_ms = limits.dead_at_ms.saturating_sub(AROUND_ATTEMPT_MS);
        match perform(outside, &run, &owed, until_ms).await {
            Ok(Some(seen)) => step(&mut run, &seen, outside.now_ms()),
            Ok(None) => {}
            Err(fault) => {
                save(outside, &run, &mut version, &stopped).await?;
                return Err(DriveError::Owed(fault));
            }
        }
    }
}

fn step(run: &mut Run, seen: &Seen, now_ms: u64) {
    let before = run.phase;
    for fact in decide(run, seen) {
        if matches!(fact, Fact::Judged(_)) {
            run.ended_ms.get_or_insert(now_ms);
        }
        apply(run, &fact);
        tracing::info!(
            run_id = run.order.run_id,
            instance_id = run.order.instance_id,
            ?before,
            after = ?run.phase,
            ?fact,
            "step"
        );
    }
}

/// Whether an attempt begun now could outlive its driver. Its post-script would then
/// be left to the next delivery, minutes after the freeze. A VSS document goes on without
/// a driver, and only has to be sent and watched while there is time.
fn out_of_time(run: &Run, owed: &Owed, now_ms: u64, dead_at_ms: u64) -> bool {
    if matches!(owed, Owed::SendVss { .. } | Owed::WatchVss { .. }) {
        return now_ms + AROUND_ATTEMPT_MS >= dead_at_ms;
    }
    let begins = matches!(owed, Owed::Command { stage: Stage::Pre, .. });
    let Some(script) = run.order.script.as_ref().filter(|_| begins) else { return false };
    let stage_ms = stage_ms_max(script.timeout_secs);
    let needed_ms = stage_ms * u64::from(script.retries + 2) + AROUND_ATTEMPT_MS;
    now_ms + needed_ms > dead_at_ms
}

async fn save<O: Outside>(
    outside: &O,
    run: &Run,
    version: &mut Option<u64>,
    lease: &Lease,
) -> Result<(), DriveError> {
    let mut saves = 0;
    loop {
        match outside.save(run, *version, lease).await {
            Ok(new) => {
                *version = Some(new);
                return Ok(());
            }
            Err(SaveFault::Overtaken) => {
                let ours = version.unwrap_or(0) + 1;
                if !is_on_record(outside, run, ours, lease).await? {
                    return Err(DriveError::Overtaken);
                }
                *version = Some(ours);
                return Ok(());
            }
            Err(SaveFault::Fault(fault)) if saves < SAVES_MAX => {
                tracing::warn!(run_id = run.order.run_id, %fault, "the ledger is asked again");
                outside.sleep_ms(SAVE_WAIT_MS << saves).await;
                saves += 1;
            }
            Err(SaveFault::Fault(fault)) => return Err(DriveError::Ledger(fault)),
        }
    }
}

/// Whether a write that was refused had happened all the same, before its answer was
/// lost. The driver's name is what tells it from the same write by a twin: two deliveries
/// of one message in one batch are at the same point in the same millisecond.
async fn is_on_record<O: Outside>(
    outside: &O,
    run: &Run,
    version: u64,
    lease: &Lease,
) -> Result<bool, DriveError> {
    let ours = Recorded { run: run.clone(), version, lease: lease.clone() };
    let recorded = outside.load(&run.order.run_id).await.map_err(DriveError::Ledger)?;
    Ok(recorded.is_some_and(|recorded| recorded == ours))
}
