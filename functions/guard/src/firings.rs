//! Firings of deployed schedules that never became a plan.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stillpoint_drive::outside::{Account, Bus, Clock, Deployed, Fault, Firing};
use stillpoint_policy::{Cron, START_WITHIN_ALLOWED, START_WITHIN_MINUTES, parse};
use stillpoint_telemetry::RefusalCode;
use stillpoint_wire::event::{RUN_FINISHED, RunFinished};
use stillpoint_wire::ids;

/// How far back it is looked. Whoever finds the guard itself dead for so long knows more
/// than the guard does.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(30);
/// A schedule fires once an hour at most.
const FIRINGS_MAX: usize = 4;

/// The firings that should have reached the planner by now and did not.
pub(crate) async fn missing<A: Account>(account: &A) -> Result<Vec<Firing>, Fault> {
    let now = timestamp(account.now_ms());
    let (narrowest, widest) = START_WITHIN_ALLOWED.into_inner();
    let mut missing = vec![];
    for schedule in account.deployed().await? {
        let (cron, zone) = match read(&schedule) {
            Ok(read) => read,
            Err(errors) => {
                tracing::error!(?schedule, errors, "what is deployed cannot be read");
                continue;
            }
        };
        let since = timestamp(schedule.since_ms);
        let due_in = |longest: SignedDuration, shortest: SignedDuration| {
            let (from, until) = (since.max(now - longest - LOOK_BACK), now - shortest);
            cron.firings_after(&zone, from).take_while(move |time| *time <= until)
        };
        if due_in(minutes(widest), minutes(narrowest)).next().is_none() {
            // Over or not, whatever the policy says of its window: it need not be asked.
            continue;
        }
        // A firing may reach the planner until its start window is over.
        let window = start_window(account, &schedule.policy_id).await?;
        let due = due_in(window, window);
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

/// The policy's own start window: its document says, and may be changed without its schedules.
async fn start_window<A: Account>(account: &A, policy_id: &str) -> Result<SignedDuration, Fault> {
    let json = match account.policy_json(policy_id).await {
        // As one that cannot be read, which has DLM's window.
        Err(fault) if fault.code == "ParameterNotFound" => String::new(),
        json => json?,
    };
    let within = parse(policy_id, &json).map(|policy| policy.settings.start_within_minutes);
    Ok(minutes(within.unwrap_or(START_WITHIN_MINUTES)))
}

fn minutes(number: u32) -> SignedDuration {
    SignedDuration::from_mins(number.into())
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
