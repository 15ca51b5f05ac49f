//! Looks at what a job is about, and does what comes next.

use std::collections::BTreeMap;

use stillpoint_drive::outside::{Progress, SendCommand};
use stillpoint_restore::{Act, CommandSeen, Fact, Goal, Job, Phase, Source, Verdict, World};
use stillpoint_wire::job_event::{DRILL_FINISHED, JobFinished, RESTORE_FINISHED};
use stillpoint_wire::{tags, time};

use super::outside::Outside;
use crate::outside::{Fault, FaultKind, Which};

/// How long SSM may take to deliver a drill's document; the host has nothing else to do.
const DELIVERY_SECS: u32 = 60;
/// The clocks of Systems Manager and ours are not this far apart.
const CLOCK_SKEW_MS: u64 = 60_000;
/// EC2's limit for a tag's value, less what stands before the words.
const WORDS_CHARS_MAX: usize = 200;

/// What EC2 and Systems Manager show of a job.
pub(super) async fn look<O: Outside>(outside: &O, job: &Job) -> Result<World, Fault> {
    let instance = match &job.instance_id {
        Some(instance_id) => outside.instance_seen(instance_id).await?,
        None => None,
    };
    let ids = job.volume_ids();
    let volumes = if ids.is_empty() { BTreeMap::new() } else { outside.volumes_seen(&ids).await? };
    let command = match (&job.command_id, &job.instance_id) {
        (Some(command_id), Some(instance_id)) if job.phase == Phase::Verify => {
            Some(command(outside, command_id, instance_id).await?)
        }
        _ => None,
    };
    Ok(World { instance: instance.map(|one| one.seen), volumes, command })
}

async fn command<O: Outside>(
    outside: &O,
    command_id: &str,
    instance_id: &str,
) -> Result<CommandSeen, Fault> {
    let state = outside.state(command_id, instance_id, None).await?;
    let last = |text: &str| {
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.unwrap_or_default().chars().take(WORDS_CHARS_MAX).collect::<String>()
    };
    let words = match last(&state.stderr) {
        none if none.is_empty() => last(&state.stdout),
        words => words,
    };
    Ok(match (state.progress, state.exit_code) {
        (Progress::Waiting | Progress::Running, _) => CommandSeen::Running,
        (Progress::Succeeded | Progress::Failed, Some(exit_code)) => {
            CommandSeen::Ended { exit_code, words }
        }
        _ => CommandSeen::Lost { words: format!("Systems Manager says {}", state.details) },
    })
}

/// Does one act; none where only the next look tells what came of it.
pub(super) async fn perform<O: Outside>(
    outside: &O,
    job: &Job,
    act: &Act,
) -> Result<Option<Fact>, Fault> {
    match act {
        Act::Launch => {
            let Goal::NewInstance { launch } = &job.order.goal else { return Ok(None) };
            let tags = made_tags(job, None);
            Ok(Some(Fact::Launched(outside.launch_instance(job, launch, &tags).await?)))
        }
        Act::Create(item) => {
            let tags = made_tags(job, Some(&item.device));
            let volume_id = outside.create_volume(job, item, &tags).await?;
            Ok(Some(Fact::Created { device: item.device.clone(), volume_id }))
        }
        Act::Stop(instance_id) => outside.stop_instance(instance_id).await.map(|()| None),
        Act::Start(instance_id) => outside.start_instance(instance_id).await.map(|()| None),
        Act::Detach(volume_id) => outside.detach_volume(volume_id).await.map(|()| None),
        Act::Attach { volume_id, instance_id, device } => {
            outside.attach_volume(volume_id, instance_id, device).await.map(|()| None)
        }
        Act::Find { instance_id, since_ms } => {
            let sought = verification(job, instance_id, &BTreeMap::new());
            let since_ms = since_ms.saturating_sub(CLOCK_SKEW_MS);
            let found = outside.find_command(&sought, since_ms).await?;
            Ok(Some(found.map_or(Fact::NotSent, Fact::Sent)))
        }
        Act::Verify { instance_id, volumes } => {
            let command = verification(job, instance_id, volumes);
            Ok(Some(Fact::Sent(outside.send(&command).await?)))
        }
        Act::Keep(kept) => {
            // Written over and not removed, since who makes volumes may delete nothing, tags
            // included. IAM lets the reaper delete nothing with an empty mark either.
            let mark = BTreeMap::from([(tags::DELETE_AFTER.to_owned(), String::new())]);
            outside.label(&outside.home_region(), kept, &mark).await?;
            Ok(Some(Fact::Reached(Phase::Discard)))
        }
        Act::Mark { discard, replaced } => {
            mark(outside, job, discard, replaced).await?;
            Ok(Some(Fact::Marked))
        }
        Act::Report => {
            report(outside, job).await?;
            Ok(Some(Fact::Reached(Phase::Settle)))
        }
    }
}

/// What a job makes says so from the beginning, and when it may go, so that it goes even if nobody
/// ever comes back to the job.
fn made_tags(job: &Job, device: Option<&str>) -> BTreeMap<String, String> {
    let mut made = BTreeMap::from([(tags::JOB_ID.to_owned(), job.order.id.clone())]);
    if let Some(device) = device {
        made.insert(tags::DEVICE.to_owned(), device.to_owned());
    }
    let latest = job.order.delete_after_ms();
    made.insert(tags::DELETE_AFTER.to_owned(), time::rfc3339(latest));
    made
}

/// The command of a drill; by instance, document and comment it is found again.
fn verification(job: &Job, instance_id: &str, volumes: &BTreeMap<String, String>) -> SendCommand {
    let (document, asked, timeout_secs) = match &job.order.goal {
        Goal::Drill { document, parameters, timeout_secs, .. } => {
            (document.clone(), parameters.clone(), *timeout_secs)
        }
        _ => Default::default(),
    };
    let places: BTreeMap<&str, &str> =
        job.order.items.iter().map(|item| (item.device.as_str(), item.place.as_str())).collect();
    let named = volumes.iter().map(|(volume_id, device)| {
        format!("{volume_id}={device}={}", places.get(device.as_str()).copied().unwrap_or(""))
    });
    let named = named.collect::<Vec<_>>().join(",");
    let own = [
        ("volumes", named),
        ("drillId", job.order.id.clone()),
        ("timeout", timeout_secs.to_string()),
    ];
    let asked = asked.into_iter().map(|(name, value)| (name, vec![value]));
    let own = own.map(|(name, value)| (name.to_owned(), vec![value]));
    let parameters = asked.chain(own).collect();
    SendCommand {
        instance_id: instance_id.to_owned(),
        document,
        parameters,
        delivery_secs: DELIVERY_SECS,
        comment: format!("stillpoint {}", job.order.id),
    }
}

async fn mark<O: Outside>(
    outside: &O,
    job: &Job,
    discard: &[String],
    replaced: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let region = outside.home_region();
    if !discard.is_empty() {
        let marks = BTreeMap::from([
            (tags::JOB_ID.to_owned(), job.order.id.clone()),
            (tags::DELETE_AFTER.to_owned(), time::rfc3339(outside.now_ms())),
        ]);
        outside.label(&region, discard, &marks).await?;
    }
    for (volume_id, device) in replaced {
        let marks = BTreeMap::from([
            (tags::REPLACED_BY.to_owned(), job.order.id.clone()),
            (tags::DEVICE.to_owned(), device.clone()),
            (tags::INSTANCE_ID.to_owned(), job.instance_id.clone().unwrap_or_default()),
        ]);
        outside.label(&region, std::slice::from_ref(volume_id), &marks).await?;
    }
    Ok(())
}

/// Tags first, the event last: whoever acts on the event finds the tags in place.
async fn report<O: Outside>(outside: &O, job: &Job) -> Result<(), Fault> {
    let now_ms = outside.now_ms();
    let verdict = job.verdict.clone().unwrap_or(Verdict::Good);
    if job.order.is_drill()
        && let Some(words) = drill_tag(&verdict, now_ms)
    {
        let which = Which::Tag(tags::RUN_ID.to_owned(), job.order.set_id.clone());
        let region = outside.home_region();
        let found = outside.snapshots(&region, &which).await?;
        let ids: Vec<String> = found.into_iter().map(|one| one.snapshot_id).collect();
        if !ids.is_empty() {
            let tag = BTreeMap::from([(tags::DRILL.to_owned(), words)]);
            outside.label(&region, &ids, &tag).await?;
        }
    }
    let event = finished(job, &verdict, now_ms);
    let kind = if job.order.is_drill() { DRILL_FINISHED } else { RESTORE_FINISHED };
    let detail = serde_json::to_string(&event).map_err(|error| Fault {
        kind: FaultKind::Refused,
        code: "Serialization".to_owned(),
        text: error.to_string(),
    })?;
    outside.publish(kind, vec![detail]).await
}

/// A drill that could not be carried out says nothing about the set.
fn drill_tag(verdict: &Verdict, now_ms: u64) -> Option<String> {
    let now = time::rfc3339(now_ms);
    match verdict {
        Verdict::Good => Some(format!("{} {now}", tags::DRILL_PASSED)),
        Verdict::Bad { exit_code, why } => {
            Some(format!("{} {now} exit code {exit_code}: {why}", tags::DRILL_FAILED))
        }
        Verdict::NotDone { .. } => None,
    }
}

fn finished(job: &Job, verdict: &Verdict, now_ms: u64) -> JobFinished {
    let (word, reason) = match verdict {
        Verdict::Good => ("good", String::new()),
        Verdict::Bad { exit_code, why } => ("bad", format!("exit code {exit_code}: {why}")),
        Verdict::NotDone { why } => ("not-done", why.clone()),
    };
    let made = |one: &&stillpoint_restore::Item| matches!(one.source, Source::Snapshot(_));
    JobFinished {
        version: stillpoint_wire::event::EVENT_VERSION,
        job_id: job.order.id.clone(),
        run_id: job.order.set_id.clone(),
        policy_id: job.order.policy_id.clone(),
        instance_id: job.instance_id.clone().unwrap_or_default(),
        verdict: word.to_owned(),
        reason,
        volumes: job
            .order
            .items
            .iter()
            .filter(made)
            .filter_map(|item| Some((item.device.clone(), job.volumes.get(&item.device)?.clone())))
            .collect(),
        replaced: job.old.clone().unwrap_or_default(),
        not_put_back: job.lost.iter().cloned().collect(),
        started_at: time::rfc3339(job.started_ms),
        ended_at: time::rfc3339(now_ms),
    }
}
