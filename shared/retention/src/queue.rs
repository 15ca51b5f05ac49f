//! One queue, the sets of one schedule for one instance, from the newest to the oldest: what the
//! rule says, and what stays all the same.

use std::collections::BTreeSet;

use crate::reason::{Flaw, Reason};
use crate::rules::{Keep, Schedule};
use crate::set::Set;

/// What one queue says of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays(Reason),
    Goes(Reason),
}

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue<'q> {
    pub(crate) schedule: &'q Schedule,
    /// The schedule's own rule, or that of its copies.
    pub(crate) keep: Keep,
    /// No further set is to be expected.
    pub(crate) gone: bool,
    /// From the newest to the oldest.
    pub(crate) sets: Vec<&'q Set<'q>>,
}

impl Queue<'_> {
    /// One fate a set, in their order.
    pub(crate) fn judge(&self, now_ms: u64) -> Vec<Fate> {
        let good = |set: &&&Set<'_>| set.flaw(self.schedule.require_application).is_none();
        let newest_good_ms = self.sets.iter().find(good).map(|set| set.started_ms());
        let stopped = self.stopped(newest_good_ms, now_ms);
        let newest_id =
            self.sets.iter().find(|set| !set.is_empty_of_data()).map(|set| &set.owned().set_id);
        let mut passed = Passed::default();
        let mut fates = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let flaw = set.flaw(self.schedule.require_application);
            let mut fate = self.by_rule(set, flaw, &mut passed, now_ms);
            if let Fate::Goes(reason) = &fate
                && *reason != Reason::Failed
            {
                let newest = newest_good_ms.is_none() && newest_id == Some(&set.owned().set_id);
                let stays = held(set)
                    .or_else(|| stopped.clone())
                    .or_else(|| newest.then_some(Reason::Newest))
                    .or_else(|| self.floor(set, flaw, &passed));
                fate = stays.map_or(fate, Fate::Stays);
            }
            if flaw.is_none() && matches!(fate, Fate::Stays(_)) {
                passed.staying += 1;
                passed.volumes.extend(set.volumes());
            }
            fates.push(fate);
        }
        fates
    }

    /// Promise I5: deleting stops when creating has stopped. An instance that is gone has no new
    /// sets, and a schedule that fires once no second one.
    fn stopped(&self, newest_good_ms: Option<u64>, now_ms: u64) -> Option<Reason> {
        let interval_ms = self.schedule.interval_ms.filter(|_| !self.gone)?;
        let patience_ms = interval_ms.saturating_mul(2);
        let stopped =
            newest_good_ms.is_none_or(|newest| now_ms > newest.saturating_add(patience_ms));
        stopped.then_some(Reason::CreatingStopped { newest_good_ms, interval_ms })
    }

    fn by_rule(
        &self,
        set: &Set<'_>,
        flaw: Option<Flaw>,
        passed: &mut Passed<'_>,
        now_ms: u64,
    ) -> Fate {
        if set.is_empty_of_data() {
            return Fate::Goes(Reason::Failed);
        }
        if set.is_pending() {
            return Fate::Stays(Reason::Pending);
        }
        match (self.keep, flaw) {
            (Keep::Count(count), Some(flaw)) => {
                if passed.good < count as usize {
                    Fate::Stays(Reason::BetweenGoodSets { flaw })
                } else {
                    Fate::Goes(Reason::BeyondCount { count })
                }
            }
            (Keep::Count(count), None) => {
                passed.good += 1;
                if passed.good <= count as usize {
                    Fate::Stays(Reason::WithinCount { position: passed.good, count })
                } else {
                    Fate::Goes(Reason::BeyondCount { count })
                }
            }
            // Fixed when the set was made: a changed rule is for new sets only.
            (Keep::Age, _) => match set.expires_ms() {
                None => Fate::Stays(Reason::NoExpiry),
                Some(expires_ms) if now_ms < expires_ms => {
                    Fate::Stays(Reason::NotExpired { expires_ms })
                }
                Some(expires_ms) => Fate::Goes(Reason::Expired { expires_ms }),
            },
        }
    }

    /// The floor of good sets, and the last good set of each volume.
    fn floor(&self, set: &Set<'_>, flaw: Option<Flaw>, passed: &Passed<'_>) -> Option<Reason> {
        if flaw.is_some() {
            return None;
        }
        let minimum = self.schedule.minimum_good_sets.max(1);
        if passed.staying < minimum {
            return Some(Reason::Floor { minimum });
        }
        let last = set.volumes().into_iter().find(|volume| !passed.volumes.contains(volume))?;
        Some(Reason::LastOfVolume { volume_id: last.to_owned() })
    }
}

/// What was seen on the way from the newest set.
#[derive(Debug, Default)]
struct Passed<'s> {
    good: usize,
    /// Good ones that stay.
    staying: usize,
    /// The volumes in those.
    volumes: BTreeSet<&'s str>,
}

/// What EC2 refuses to delete.
fn held(set: &Set<'_>) -> Option<Reason> {
    set.snapshots.iter().find_map(|one| {
        let snapshot_id = one.snapshot_id.clone();
        match (&one.lock, &one.image_id) {
            (Some(lock), _) => Some(Reason::Locked { snapshot_id, lock: lock.clone() }),
            (None, Some(image_id)) => {
                Some(Reason::BehindImage { snapshot_id, image_id: image_id.clone() })
            }
            (None, None) => None,
        }
    })
}
