//! When a policy fires next: all its schedules, by the clock of its time zone, without what lies
//! in a blackout window.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Schedule};

/// More than a year of hourly firings; a schedule whose firings are blacked out for so long has
/// none.
const MAX_CONSIDERED: usize = 10_000;

/// One time at which the policy makes sets: one an instance, also where several schedules fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextFiring {
    /// RFC 3339, in UTC.
    pub at: String,
    /// In the order of the policy.
    pub schedules: Vec<String>,
}

impl Policy {
    /// The next `count` firings of one schedule strictly after a time, fewer where it ends.
    pub fn next_firings_of(
        &self,
        schedule: &Schedule,
        after: Timestamp,
        count: usize,
    ) -> Vec<Timestamp> {
        self.firings_of(schedule, after).take(count).collect()
    }

    pub(crate) fn firings_of<'a>(
        &'a self,
        schedule: &'a Schedule,
        after: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let firings = schedule.create_rule.cron().firings_after(&self.settings.time_zone, after);
        let firings = firings.take(MAX_CONSIDERED);
        firings.filter(|time| self.settings.blackout_at(*time).is_none())
    }

    /// The next `count` times at which any schedule fires, strictly after a time.
    pub fn next_firings(&self, after: Timestamp, count: usize) -> Vec<NextFiring> {
        let mut times: Vec<(Timestamp, usize)> = Vec::new();
        for (index, schedule) in self.schedules.iter().enumerate() {
            let firings = self.next_firings_of(schedule, after, count);
            times.extend(firings.into_iter().map(|time| (time, index)));
        }
        times.sort_unstable();
        let mut firings: Vec<(Timestamp, NextFiring)> = Vec::new();
        for (time, index) in times {
            let name = self.schedules[index].name.clone();
            match firings.last_mut() {
                Some((last, firing)) if *last == time => firing.schedules.push(name),
                _ => {
                    let firing = NextFiring { at: time.to_string(), schedules: vec![name] };
                    firings.push((time, firing));
                }
            }
        }
        firings.into_iter().map(|(_, firing)| firing).take(count).collect()
    }
}
