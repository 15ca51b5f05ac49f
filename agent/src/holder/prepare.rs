//! Everything slow of a hold: the flush, the applications, the timer. Writers are not held
//! yet, and all of it may fail.

use std::time::Duration;

use super::Holding;
use crate::apps::owed;
use crate::control::{LINE_BYTES_MAX, to_client};
use crate::failpoint;
use crate::flush::Flush;
use crate::hold::Cause;
use crate::mountinfo::Dev;
use crate::sys;
use crate::systemd::Timer;
use crate::thaw::nanos;

/// What the freezes and the way back may take of the budget.
const FREEZE_RESERVE: Duration = Duration::from_secs(1);

impl Holding {
    fn left(&self) -> Duration {
        until(self.job.budget_ns)
    }

    fn log(&self, text: &str) {
        let mut message = vec![to_client::LOG];
        message.extend(text.bytes().take(LINE_BYTES_MAX - 1));
        self.pump.tell_client(&message);
    }

    /// Everything slow: writers are not held yet, and all of it may fail.
    pub(super) fn prepare(&mut self) -> Result<(), (Cause, String)> {
        let failed = |why| (Cause::Application, why);
        // It starts while the flush is at work.
        self.start_timer();
        // Nothing was touched so far: an instance that is this busy is not ready.
        self.flush().map_err(|why| (Cause::Busy, why))?;
        // The countdown covers the applications' locks as well as the freezes.
        let deadline = sys::boottime_ns() + nanos(self.job.config.deadline);
        self.job.page.set_deadline_ns(deadline);
        failpoint::hit("holder.armed");
        let quiesced = self.quiesce();
        for line in owed::said(&self.job.state, &self.job.record.execution_id, "pre") {
            self.log(&line);
        }
        quiesced.map_err(failed)?;
        if !self.job.apps.is_empty() {
            self.flush().map_err(failed)?;
        }
        self.pump.turn(Duration::ZERO);
        if let Some(Err(why)) = self.timer.as_mut().map(Timer::ready) {
            self.log(&format!("without a third layer: {why}"));
        }
        // As late as can be: what is allocated after it costs many times as much.
        sys::lock_memory()
            .map_err(|error| failed(format!("the memory cannot be locked: {error}")))?;
        // Last of all: from here on writers may wait.
        for app in &mut self.job.apps {
            let budget = until(self.job.budget_ns).saturating_sub(FREEZE_RESERVE);
            app.lock(budget).map_err(failed)?;
        }
        if self.job.apps.is_empty() {
            return Ok(());
        }
        self.job.record.applications = self.job.apps.iter().map(|app| app.describe()).collect();
        self.job.record.restore_notes =
            self.job.apps.iter().map(|app| app.restore_note()).collect();
        self.job
            .state
            .save(&self.job.record)
            .map_err(|error| failed(format!("the record: {error}")))?;
        // A file may not be to be opened any more when the client has to answer.
        let mut message = vec![to_client::RECORD];
        if serde_json::to_writer(&mut message, &self.job.record).is_ok() {
            self.pump.tell_client(&message);
        }
        Ok(())
    }

    fn quiesce(&mut self) -> Result<(), String> {
        for at in 0..self.job.apps.len() {
            let budget = self.left().saturating_sub(FREEZE_RESERVE);
            self.job.apps[at].quiesce(budget)?;
        }
        Ok(())
    }

    fn start_timer(&mut self) {
        if self.job.config.systemd {
            let hold = self.left() + self.job.config.deadline;
            match Timer::start(&self.job.record.execution_id, hold) {
                Ok(timer) => self.timer = timer,
                Err(why) => self.log(&format!("without a third layer: {why}")),
            }
        }
    }

    fn flush(&self) -> Result<(), String> {
        let until_ns = sys::boottime_ns() + nanos(self.left().saturating_sub(FREEZE_RESERVE));
        let remembered = &self.job.record.filesystems;
        let frozen = remembered.iter().filter_map(|fs| Some((&fs.mount, Dev::parse(&fs.dev)?)));
        let flushed = self.job.flushed.iter().map(|(mount, dev)| (mount, *dev));
        let (mounts, devs): (Vec<&String>, Vec<Dev>) = frozen.chain(flushed).unzip();
        let stall_budget = self.job.config.stall_budget;
        let (crew, files, done) = (&self.crew, self.job.files.as_slice(), &*self.done);
        let processes = self.job.record.processes.iter().map(|process| process.pid);
        let ours: Vec<u32> = processes.chain([self.job.client]).collect();
        let flush = Flush { crew, devs: &devs, ours: &ours, files, done, until_ns, stall_budget };
        match flush.run() {
            Ok((written, synced)) => {
                self.log(&format!(
                    "flushed: open files in {written:.1?}, the rest in {synced:.1?}"
                ));
                Ok(())
            }
            Err(trouble) => {
                let mount = mounts.get(trouble.index()).map(|mount| mount.as_str());
                let mount = mount.unwrap_or_default();
                Err(format!("{mount}: {trouble}"))
            }
        }
    }
}

fn until(at_ns: u64) -> Duration {
    Duration::from_nanos(at_ns.saturating_sub(sys::boottime_ns()))
}
