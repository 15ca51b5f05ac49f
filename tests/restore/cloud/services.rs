//! Everything beside EC2: time, Systems Manager, the bus, the records, the policies.

use stillpoint_drive::outside::{CommandState, Commands, Progress, SendCommand};
use stillpoint_restore::{Job, Phase};
use stillpoint_upkeep::jobs::outside::{JobSaveFault, Jobs, Lease, RecordedJob};
use stillpoint_upkeep::outside::{Bus, Clock, Fault, Policies};

use super::Cloud;
use super::state::Command;

const TICK_MS: u64 = 1_000;
/// Systems Manager shows a command in its list only after a while.
const LISTED_MS: u64 = 5_000;
const VERIFICATION_MS: u64 = 30_000;

impl Clock for Cloud {
    fn now_ms(&self) -> u64 {
        self.with(|state| state.now_ms)
    }

    async fn sleep_ms(&self, ms: u64) {
        self.with(|state| {
            state.now_ms += ms;
            (0..ms / TICK_MS).for_each(|_| state.tick());
        });
    }
}

impl Policies for Cloud {
    async fn policies(&self) -> Result<Vec<(String, String)>, Fault> {
        Ok(vec![])
    }
}

impl Commands for Cloud {
    async fn send(&self, command: &SendCommand) -> Result<String, Fault> {
        self.call("send", |state| {
            state.commands.push(Command {
                comment: command.comment.clone(),
                instance_id: command.instance_id.clone(),
                sent_ms: state.now_ms,
            });
            Ok(format!("command-{}", state.commands.len() - 1))
        })
        .await
    }

    async fn state(
        &self,
        command_id: &str,
        _instance_id: &str,
        _step: Option<&str>,
    ) -> Result<CommandState, Fault> {
        self.call("state", |state| {
            let number: usize = command_id.trim_start_matches("command-").parse().unwrap();
            let over = state.now_ms > state.commands[number].sent_ms + VERIFICATION_MS;
            let (progress, exit_code) =
                if over { (Progress::Succeeded, Some(0)) } else { (Progress::Running, None) };
            Ok(CommandState { progress, exit_code, ..CommandState::waiting() })
        })
        .await
    }

    async fn step_outputs(&self, _: &str, _: &str) -> Result<Vec<String>, Fault> {
        unreachable!("a drill's document has one step")
    }

    async fn find_command(
        &self,
        sought: &SendCommand,
        since_ms: u64,
    ) -> Result<Option<String>, Fault> {
        self.call("find_command", |state| {
            let fits = |one: &Command| {
                one.comment == sought.comment
                    && one.instance_id == sought.instance_id
                    && one.sent_ms >= since_ms
                    && one.sent_ms + LISTED_MS <= state.now_ms
            };
            let found = state.commands.iter().position(fits);
            Ok(found.map(|number| format!("command-{number}")))
        })
        .await
    }

    async fn cancel(&self, _: &str, _: &str) -> Result<(), Fault> {
        unreachable!("a drill is not cancelled")
    }
}

impl Bus for Cloud {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        self.call("publish", |state| {
            let read = |detail: &String| serde_json::from_str(detail).unwrap();
            state.events.extend(details.iter().map(|one| (detail_type.to_owned(), read(one))));
            Ok(())
        })
        .await
    }
}

impl Jobs for Cloud {
    async fn load_job(&self, job_id: &str) -> Result<Option<RecordedJob>, Fault> {
        self.call("load_job", |state| Ok(state.jobs.get(job_id).cloned())).await
    }

    async fn save_job(
        &self,
        job: &Job,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, JobSaveFault> {
        let saved = self.call("save_job", |state| {
            if state.jobs.get(&job.order.id).map(|one| one.version) != expected {
                return Ok(None);
            }
            // As it comes back from the table.
            let job: Job = serde_json::from_value(serde_json::to_value(job).unwrap()).unwrap();
            let version = expected.unwrap_or(0) + 1;
            let recorded = RecordedJob { version, lease: lease.clone(), job };
            state.jobs.insert(recorded.job.order.id.clone(), recorded);
            Ok(Some(version))
        });
        saved.await.map_err(JobSaveFault::Fault)?.ok_or(JobSaveFault::Overtaken)
    }

    async fn unfinished_jobs(&self) -> Result<Vec<String>, Fault> {
        let open = |one: &&RecordedJob| one.job.phase != Phase::Done;
        let id = |one: &RecordedJob| one.job.order.id.clone();
        Ok(self.with(|state| state.jobs.values().filter(open).map(id).collect()))
    }
}
