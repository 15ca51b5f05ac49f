//! Drives one run as far as it goes.
//!
//! Two drivers of one run are kept apart by the record: its version fences every
//! write, and its lease says until when the last driver may be alive. Without the
//! lease a second delivery would take a run in its freeze window for an interrupted
//! one and thaw it.

use stillpoint_run::{
    Fact, Order, Owed, Phase, Run, Seen, apply, begins, decide, not_before_ms, owed, record_first,
};
use stillpoint_wire::ids;

use crate::command::stage_ms_max;
use crate::outside::{Fault, Lease, Outside, Recorded, SaveFault, Slot};
use crate::perform::{Done, perform};

/// What the CreateSnapshots call and the records around an attempt may take.
const AROUND_ATTEMPT_MS: u64 = 30_000;
/// The ledger is asked this often before the driver gives up; nothing is frozen then.
const SAVES_MAX: u32 = 4;
const SAVE_WAIT_MS: u64 = 200;
/// Whoever waits longer for its turn says on record that it drives the run.
const WAITS_UNSEEN_MS: u64 = 2_000;
/// The guard looks after a run so long after its driver was dead for certain.
const DUE_AFTER_DEATH_MS: u64 = 60_000;
/// The guard looks after a run that waits for a delivery after this time: longer than the
/// queue keeps a message from others, which is 16 minutes.
pub const DUE_AFTER_MS: u64 = 20 * 60_000;

/// How far a driver may go.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The driver's name, which no other driver has.
    pub driver: String,
    /// When the driver will certainly be dead, in ms since the epoch.
    pub dead_at_ms: u64,
    /// What it is there for.
    pub task: Task,
}

/// What a driver is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The whole run.
    Run,
    /// Only what is owed: thaw, settle, report. It begins no attempt and no set.
    Settle,
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
    /// What comes next would not end in the driver's time, or is not the driver's to begin.
    /// Nothing new is held: at most a post-script is repeated.
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
            // under way. One whose lease ran out died somewhere in between. A new run is told
            // that it begins by itself.
            let late = now_ms > run.order.start_before_ms;
            if run.phase == Phase::New {
                run.started_ms = now_ms;
            } else if recorded.lease.until_ms != 0 || late {
                let next_execution_id = ids::execution_id(&run.order, run.attempt + 1);
                step(outside, &mut run, &Seen::Begin { next_execution_id, now_ms }, now_ms);
            }
            (run, Some(recorded.version))
        }
    };
    let alive = Lease {
        driver: limits.driver.clone(),
        until_ms: limits.dead_at_ms,
        due_ms: limits.dead_at_ms + DUE_AFTER_DEATH_MS,
    };
    let stopped = |now_ms| Lease { until_ms: 0, due_ms: now_ms + DUE_AFTER_MS, ..alive.clone() };
    // As it is on record, until its first attempt begins.
    let mut waiting = (run.phase == Phase::New).then(|| run.clone());
    let mut throttled = false;
    loop {
        let owed = owed(&run);
        if owed == Owed::Nothing {
            save(outside, &run, &mut version, &stopped(outside.now_ms())).await?;
            return Ok(Advance::Finished(Box::new(run)));
        }
        // Not before: nobody is asked for anything while something is held.
        if throttled && (begins(&run) || run.phase == Phase::Report) {
            throttled = false;
            if let Err(fault) = outside.throttled().await {
                tracing::warn!(%fault, "the budget does not know that EC2 throttles");
            }
        }
        if run.phase == Phase::PostScript && run.post_tries > 0 {
            let now_ms = outside.now_ms();
            let from_ms = now_ms.max(not_before_ms(&run));
            if from_ms + stage_ms(&run) > limits.dead_at_ms {
                // Whoever comes next finds it owed, and that nothing else is under way.
                save(outside, &run, &mut version, &stopped(now_ms)).await?;
                return Ok(Advance::OutOfTime);
            }
            outside.sleep_ms(from_ms - now_ms).await;
        }
        // A VSS document goes on without a driver, and is watched while there is time.
        let watches = matches!(owed, Owed::WatchVss { .. });
        if watches && outside.now_ms() + AROUND_ATTEMPT_MS >= limits.dead_at_ms {
            save(outside, &run, &mut version, &stopped(outside.now_ms())).await?;
            return Ok(Advance::OutOfTime);
        }
        if begins(&run) {
            let turn = match limits.task {
                Task::Run => reserve_turn(outside, &run, limits.dead_at_ms).await,
                Task::Settle => Ok(None),
            };
            let ready = match turn {
                Ok(Some(waits_ms)) => {
                    // A second delivery that comes while this one waits would reserve a call as
                    // well, and only one of the two can be made.
                    if let Some(new) = waiting.take()
                        && waits_ms > WAITS_UNSEEN_MS
                    {
                        save(outside, &new, &mut version, &alive).await?;
                    }
                    outside.sleep_ms(waits_ms).await;
                    Ok(outside.now_ms() <= begins_by_ms(&run, limits.dead_at_ms))
                }
                Ok(None) => Ok(false),
                Err(fault) => Err(fault),
            };
            if !matches!(ready, Ok(true)) {
                save(outside, &run, &mut version, &stopped(outside.now_ms())).await?;
                return ready.map(|_| Advance::OutOfTime).map_err(DriveError::Owed);
            }
        }
        if record_first(&run) {
            save(outside, &run, &mut version, &alive).await?;
        }
        let until_ms = limits.dead_at_ms.saturating_sub(AROUND_ATTEMPT_MS);
        match perform(outside, &run, &owed, until_ms).await {
            Ok(Done { seen, throttled: by_account }) => {
                throttled |= by_account;
                if let Some(seen) = seen {
                    step(outside, &mut run, &seen, outside.now_ms());
                }
            }
            Err(fault) => {
                save(outside, &run, &mut version, &stopped(outside.now_ms())).await?;
                return Err(DriveError::Owed(fault));
            }
        }
    }
}

fn step<O: Outside>(outside: &O, run: &mut Run, seen: &Seen, now_ms: u64) {
    let facts = decide(run, seen);
    outside.step(run, seen, &facts);
    for fact in &facts {
        if matches!(fact, Fact::Judged(_)) {
            run.ended_ms.get_or_insert(now_ms);
        }
        apply(run, fact);
    }
}

/// Reserves a CreateSnapshots call, so that nobody has to wait for it while something is
/// frozen: how long to wait for the turn. None if that, with all that can follow, would outlive
/// the driver: the post-script would then be left to the next delivery, minutes after the freeze.
async fn reserve_turn<O: Outside>(
    outside: &O,
    run: &Run,
    dead_at_ms: u64,
) -> Result<Option<u64>, Fault> {
    let by_ms = begins_by_ms(run, dead_at_ms);
    let from_ms = outside.now_ms().max(not_before_ms(run));
    if from_ms > by_ms {
        return Ok(None);
    }
    let Slot::At(at_ms) = outside.reserve(by_ms).await? else { return Ok(None) };
    Ok(Some(at_ms.max(from_ms).saturating_sub(outside.now_ms())))
}

/// The last moment for an attempt to begin.
fn begins_by_ms(run: &Run, dead_at_ms: u64) -> u64 {
    dead_at_ms.saturating_sub(longest_ms(run))
}

/// The longest that an attempt can take, its first post-script included, or that a set
/// without one can take.
fn longest_ms(run: &Run) -> u64 {
    let stages = if run.phase == Phase::PreScript { 2 } else { 0 };
    stages * stage_ms(run) + AROUND_ATTEMPT_MS
}

fn stage_ms(run: &Run) -> u64 {
    run.order.script.as_ref().map_or(0, |script| stage_ms_max(script.timeout_secs))
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
