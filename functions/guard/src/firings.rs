//! Firings of deployed schedules that never became a plan.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stillpoint_drive::outside::{Account, Bus, Clock, Deployed, Fault, Firing};
use stillpoint_policy::{Cron, START_WITHIN_MINUTES};
use stillpoint_telemetry::RefusalCode;
use stillpoint_wire::event::{RUN_FINISHED, RunFinished};
use stillpoint_wire::ids;

/// A firing may reach the planner until its start window is over.
const START_WINDOW: SignedDuration = SignedDuration::from_mins(START_WITHIN_MINUTES as i64);
/// How far back it is looked. Whoever finds the guard itself dead for so long knows more
/// than the guard does.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(30);
/// A schedule fires once an hour at most.
const FIRINGS_MAX: usize = 4;

/// The firings that should have reached the planner by now and did not.
pub(crate) async fn missing<A: Account>(account: &A) -> Result<Vec<Firing>, Fault> {
    let now = timestamp(account.now_ms());
    let (from, until) = (now - START_WINDOW - LOOK_BACK, now - START_WINDOW);
    let mut missing = vec![];
    for schedule in account.deployed().await? {
        let (cron, zone) = match read(&schedule) {
            Ok(read) => read,
            Err(errors) => {
                tracing::error!(?schedule, errors, "what is deployed cannot be read");
                continue;
            }
        };
        let from = from.max(timestamp(schedule.since_ms));
        let due = cron.firings_after(&zone, from).take_while(|time| *time <= until);
        for time in due.take(FIRINGS_MAX) {
            let firing = Firing {
                policy_id: schedule.policy_id.clone(),
                schedule_name: schedule.schedule_name.clone(),
                nominal_time: time.to_string(),
            };
            if !account.has_fired(&firing).await? {
                missing.push(firing);
            }
        }
    }
    Ok(missing)
}

fn read(schedule: &Deployed) -> Result<(Cron, TimeZone), String> {
    let cron = Cron::parse(&schedule.expression).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })?;
    let zone = TimeZone::get(&schedule.time_zone).map_err(|error| error.to_string())?;
    Ok((cron, zone))
}

/// Tells each of them once: an outcome on the bus, then on record, so that it is told again
/// rather than not at all.
pub(crate) async fn tell<A: Account>(account: &A, missing: &[Firing]) -> Result<(), Fault> {
    for firing in missing {
        let why = "the schedule's time has passed, and its start window, and no firing has \
                   reached the planner or become a plan";
        publish(account, firing, why).await?;
        account.record_firing(firing).await?;
    }
    Ok(())
}

/// Publishes the outcome of a firing without a plan.
pub(crate) async fn publish<O: Bus + Clock>(
    outside: &O,
    firing: &Firing,
    why: &str,
) -> Result<(), Fault> {
    let Firing { policy_id, schedule_name, nominal_time } = firing.clone();
    let code = RefusalCode::Firing.as_str();
    tracing::error!(code, policy_id, schedule_name, nominal_time, why, "missing");
    let key = format!("{policy_id} {schedule_name} {nominal_time}");
    let id = ids::refusal_id("firing", &key);
    let refused = RunFinished::refused(id, code, why.to_owned(), outside.now_ms());
    let event = RunFinished { policy_id, schedule_name, nominal_time, ..refused };
    let detail = serde_json::to_string(&event).unwrap_or_default();
    outside.publish(RUN_FINISHED, vec![detail]).await
}

fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
