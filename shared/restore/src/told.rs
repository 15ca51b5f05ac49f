//! What a person has to do that a job could not.

use crate::job::Job;

impl Job {
    /// A line for each volume that is not where it was, and for the instance if it does not run.
    #[must_use]
    pub fn loose_ends(&self) -> Vec<String> {
        self.lost.iter().map(|id| self.loose_end(id)).collect()
    }

    fn loose_end(&self, id: &str) -> String {
        let instance = self.instance_id.as_deref().unwrap_or("the instance");
        if id == instance {
            return format!("{id} could not be stopped or started as it was: start it by hand");
        }
        let old = self.old.iter().flatten().find(|(_, volume)| *volume == id);
        match old {
            Some((device, _)) => {
                format!("{id} could not be put back: attach it to {instance} as {device}")
            }
            None => format!(
                "{id} could not be taken out of {instance}: unmount it there, or detach it by force"
            ),
        }
    }
}
