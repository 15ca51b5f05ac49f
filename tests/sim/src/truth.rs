//! The promises, as predicates on what really happened. I5 and I8 are not here: nothing in
//! this world deletes, and permissions are a matter of `tests/infra`.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_agent::hold::{End, Phase as HoldPhase};
use stillpoint_run::{Consistency, Order, Phase, Run};
use stillpoint_wire::event::{RunFinished, RunRequested};
use stillpoint_wire::tags;

use crate::host::{DEADLINE_MS, Host};
use crate::sets::Set;
use crate::world::{State, Window, World};

/// The guard looks around every minute; it has this long for what nobody else tells.
const TOLD_WITHIN_MS: u64 = 600_000;
/// A runner's timeout and a minute of clocks.
const INVOCATION_MS: u64 = 960_000;
/// A run that sleeps while another's answer tells of it looks at that within this time.
const LOOKS_WITHIN_MS: u64 = 200;
/// Between an answer and the next call of the same run nothing is waited for but the
/// moment in which commands are gathered.
const AT_ONCE_MS: u64 = 50;

impl State {
    /// What must be true at every moment.
    pub(crate) fn check(&mut self, now_ms: u64) {
        while self.armed.first().is_some_and(|(at, ..)| now_ms > at + 1) {
            let Some((_, host_id, id)) = self.armed.pop_first() else { return };
            let host = self.hosts.get(&host_id);
            if host.and_then(Host::frozen).is_some_and(|(frozen, _)| *frozen == id) {
                let what = format!("I1: {host_id} is held by {id} past its deadline");
                self.violated(now_ms, what);
            }
        }
    }

    /// A pre-script begins: its thaw must be on record, for one run and no other.
    pub(crate) fn pre_begins(&mut self, now_ms: u64, host_id: &str, id: &str) {
        let owed = |run_id: &&String| {
            let run = self.ledger.get(*run_id).map(|one| &one.run);
            run.is_some_and(|run| run.thaw_owed.as_deref() == Some(id))
        };
        let runs = self.runs_of.get(host_id).into_iter().flatten();
        let owing: Vec<String> = runs.filter(owed).cloned().collect();
        let [run_id] = &owing[..] else {
            let count = owing.len();
            return self.violated(
                now_ms,
                format!("I4: the pre-script {id} begins on {host_id}, its thaw is on record {count} times"),
            );
        };
        // A runner that took it up in time may still be at it when the window is over.
        let late = self.ledger[run_id].run.order.start_before_ms + INVOCATION_MS < now_ms;
        let key = (host_id.to_owned(), id.to_owned());
        let before = self.pre_ran.insert(key, run_id.clone());
        if late {
            self.violated(now_ms, format!("I6: {host_id} is quiesced long after its window"));
        }
        if before.is_some_and(|before| before != *run_id) {
            self.violated(now_ms, format!("I4: {id} belongs to two runs of {host_id}"));
        }
    }

    /// Somebody sends a script.
    pub(crate) fn sends(&mut self, now_ms: u64, who: u64, host_id: &str, stage: &str, id: &str) {
        let sent = (host_id.to_owned(), id.to_owned());
        let Some(run_id) = self.pre_ran.get(&sent).cloned() else {
            self.post_sent.extend((stage != "pre-script").then_some(sent));
            return;
        };
        let key = (who, run_id);
        if stage == "pre-script" {
            self.windows.remove(&key);
            return;
        }
        self.post_sent.insert(sent);
        if let Some(Window::Created(at_ms)) = self.windows.insert(key, Window::Over)
            && now_ms > at_ms + AT_ONCE_MS
        {
            let late = now_ms - at_ms;
            self.violated(
                now_ms,
                format!(
                    "I7: the post-script goes to {host_id} {late} ms after CreateSnapshots answered"
                ),
            );
        }
    }

    /// A command tells our agent the volumes of the sets: of all its instances, and no others.
    pub(crate) fn told_volumes(
        &mut self,
        now_ms: u64,
        ids: &[String],
        ours: bool,
        told: &[String],
    ) {
        let of_them = ids.iter().filter_map(|id| self.hosts.get(id)).flat_map(|one| &one.volumes);
        let due: BTreeSet<&String> = of_them.filter(|_| ours).collect();
        if told.iter().collect::<BTreeSet<_>>() != due {
            let what = format!("I2: a command for {ids:?} tells the volumes {told:?}");
            self.violated(now_ms, what);
        }
        if ours && ids.len() > 1 {
            self.reach("one command for the sets of several instances");
        }
    }

    /// Somebody knows that the pre-script has succeeded.
    pub(crate) fn knows_held(&mut self, now_ms: u64, who: u64, host_id: &str, id: &str) {
        let sent = (host_id.to_owned(), id.to_owned());
        if self.post_sent.contains(&sent) {
            return;
        }
        if let Some(run_id) = self.pre_ran.get(&sent).cloned() {
            self.windows.insert((who, run_id), Window::Held(now_ms));
        }
    }

    /// The same, from an answer that others have had before.
    pub(crate) fn knows_held_first(&mut self, now_ms: u64, who: u64, host_id: &str, id: &str) {
        let run_id = self.pre_ran.get(&(host_id.to_owned(), id.to_owned())).cloned();
        if run_id.is_some_and(|run_id| !self.windows.contains_key(&(who, run_id))) {
            self.knows_held(now_ms + LOOKS_WITHIN_MS, who, host_id, id);
        }
    }

    /// Somebody calls CreateSnapshots.
    pub(crate) fn creates_now(&mut self, now_ms: u64, who: u64, order: &Order) {
        if let Some(Window::Held(at_ms)) = self.windows.get(&(who, order.run_id.clone()))
            && now_ms > at_ms + AT_ONCE_MS
        {
            let late = now_ms - at_ms;
            let what = format!(
                "I7: CreateSnapshots of {} is called {late} ms after the pre-script's end was known",
                order.instance_id
            );
            self.violated(now_ms, what);
        }
        if self.sets.of_run(&order.run_id).len() > 0 {
            self.violated(now_ms, format!("I3: another set is asked for of {}", order.run_id));
        }
    }

    /// EC2 had no call left. That is nobody's fault but ours where nobody else takes any and
    /// the clocks agree.
    pub(crate) fn emptied(&mut self, now_ms: u64) {
        if self.trouble.neighbours_milli == 0 && self.trouble.skew_ms == 0 {
            self.violated(
                now_ms,
                "I7: CreateSnapshots was called without a reservation".to_owned(),
            );
        }
    }

    /// A run is put on record.
    pub(crate) fn recorded(&mut self, now_ms: u64, run: &Run) {
        let window = run.phase == Phase::Snapshot && run.thaw_owed.is_some() && run.pre.is_some();
        if window {
            let what = format!("I7: {} is written down inside its window", run.order.run_id);
            self.violated(now_ms, what);
        }
        let order = &run.order;
        self.runs_of.entry(order.instance_id.clone()).or_default().insert(order.run_id.clone());
        if let Some(before) = self.ledger.get(&run.order.run_id)
            && before.run.verdict.is_some()
            && before.run.verdict != run.verdict
        {
            self.violated(now_ms, format!("I6: the verdict of {} is changed", run.order.run_id));
        }
    }

    /// Tags are written.
    pub(crate) fn labelled(&mut self, now_ms: u64, id: &str, written: &BTreeMap<String, String>) {
        let Some(label) = written.get(tags::CONSISTENCY) else { return };
        if label == Consistency::Application.as_str() {
            if let Err(why) = self.proven(id) {
                self.violated(now_ms, format!("I2: {id} is labelled application: {why}"));
            }
        } else if label == Consistency::Claimed.as_str()
            && let Err(why) = self.claimed(id)
        {
            self.violated(now_ms, format!("I2: {id} is labelled claimed: {why}"));
        }
        self.reach(&format!("label: {label}"));
    }

    /// Whether somebody else's document has said, and could say, that it held.
    fn claimed(&self, snapshot_id: &str) -> Result<(), String> {
        let set = self.sets.of_snapshot(snapshot_id).ok_or("there is no such snapshot")?;
        let (id, ours) = set.held.as_ref().ok_or("nothing was held")?;
        if *ours {
            return Err("held by our agent, which tells more".to_owned());
        }
        let host = &self.hosts[&set.instance_id];
        let held = host.holds.get(id).or_else(|| host.past.get(id)).ok_or("no such hold")?;
        match held.hold.end {
            End::Released => Ok(()),
            other => Err(format!("the hold ended {other:?}")),
        }
    }

    /// Whether all of a set is application-consistent.
    pub(crate) fn is_proven(&self, set: &Set) -> bool {
        set.set.snapshots.iter().all(|one| self.proven(&one.snapshot_id).is_ok())
    }

    /// Whether one unbroken hold of ours covered the moment in which a snapshot was made.
    fn proven(&self, snapshot_id: &str) -> Result<(), String> {
        let set = self.sets.of_snapshot(snapshot_id).ok_or("there is no such snapshot")?;
        let (id, ours) = set.held.as_ref().ok_or("nothing was held")?;
        if !ours {
            return Err("held by somebody else's document".to_owned());
        }
        let host = &self.hosts[&set.instance_id];
        let held = host.holds.get(id).or_else(|| host.past.get(id)).ok_or("no such hold")?;
        if held.hold.end != End::Released || held.hold.phase != HoldPhase::Over {
            return Err(format!("the hold ended {:?}", held.hold.end));
        }
        let ended = held.ended_at_ms.unwrap_or(0);
        if !(held.frozen_at_ms.unwrap_or(u64::MAX)..=ended).contains(&set.made_ms) {
            return Err("made outside the hold".to_owned());
        }
        let volume = set.set.snapshots.iter().find(|one| one.snapshot_id == snapshot_id);
        match volume {
            Some(one) if held.volumes.contains(&one.volume_id) => Ok(()),
            _ => Err("its volume was not frozen".to_owned()),
        }
    }

    /// A run is asked for.
    pub(crate) fn asked(&mut self, now_ms: u64, detail: &str) {
        match serde_json::from_str::<RunRequested>(detail) {
            Ok(asked) => {
                self.requested.entry(asked.order.run_id.clone()).or_insert(asked.order);
            }
            Err(error) => self.violated(now_ms, format!("request: {error}")),
        }
    }

    /// The outcome of a run is told.
    pub(crate) fn told(&mut self, now_ms: u64, event: RunFinished) {
        let before = self.finished.entry(event.run_id.clone()).or_default();
        let same = before.first().is_none_or(|first| {
            (first.outcome, first.consistency) == (event.outcome, event.consistency)
        });
        let (run_id, code) = (event.run_id.clone(), event.code.clone());
        before.push(event);
        self.say(now_ms, || format!("{run_id} is told: {code}"));
        self.reach(&format!("told: {code}"));
        if !same {
            self.violated(now_ms, format!("I6: two outcomes of {run_id}"));
        }
    }
}

impl World {
    /// Whether everything has come to its end.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        let now_ms = self.exec.now_ms();
        let state = self.state();
        let told = |(firing, at_ms, _): &(stillpoint_drive::outside::Firing, u64, u64)| {
            *at_ms < now_ms && state.fired.contains(firing)
        };
        state.expected.iter().all(told)
            && state.queues.iter().all(|queue| queue.is_empty() && queue.is_idle())
            && state.alive.is_empty()
            && state.ledger.values().all(|one| one.run.phase == Phase::Done)
            && !state.ledger.is_empty()
    }

    /// What must be true when everything has come to its end, or should have.
    pub(crate) fn check_end(&self) {
        let now_ms = self.exec.now_ms();
        let mut broken = vec![];
        let state = self.state();
        for (run_id, order) in &state.requested {
            let sets = state.sets.of_run(run_id).len();
            if sets > 1 {
                broken.push(format!("I3: {sets} sets of {run_id}"));
            }
            let recorded = state.ledger.get(run_id);
            if recorded.is_none_or(|one| one.run.phase != Phase::Done) {
                let phase = recorded.map(|one| one.run.phase);
                broken.push(format!(
                    "I6: {run_id} of {} has not ended: {phase:?}",
                    order.instance_id
                ));
            }
            let events = state.finished.get(run_id).map_or(&[][..], Vec::as_slice);
            if events.is_empty() {
                broken.push(format!("I6: {run_id} has no event"));
            }
            let verdict = recorded.and_then(|one| one.run.verdict.as_ref());
            if let (Some(event), Some(verdict)) = (events.first(), verdict)
                && (event.outcome != verdict.outcome || event.consistency != verdict.consistency)
            {
                broken.push(format!("I6: {run_id} is told otherwise than it is on record"));
            }
            if verdict.is_some_and(|verdict| verdict.consistency.is_some() && sets == 0) {
                broken.push(format!("I2: {run_id} is labelled and has no set"));
            }
        }
        for ((host, id), run_id) in &state.pre_ran {
            let run = state.ledger.get(run_id).map(|one| &one.run);
            let script = run.and_then(|run| run.order.script.as_ref());
            let pre_only = script.is_some_and(|script| !script.post);
            if !state.post_sent.contains(&(host.clone(), id.clone())) && !pre_only {
                broken.push(format!("I4: no post-script after the pre-script {id} of {run_id}"));
            }
        }
        for (firing, at_ms, window_ms) in &state.expected {
            let over_ms = at_ms + window_ms;
            if !state.fired.contains(firing) {
                broken.push(format!("I6: {firing:?} is neither planned nor told as missing"));
            } else if state.found_missing.contains(firing) && !state.rang(over_ms) {
                broken.push(format!("I6: {firing:?} is missing and RunsMissing was not raised"));
            }
        }
        for host in state.hosts.values() {
            if let Some((id, held)) = host.frozen()
                && now_ms > held.deadline_at_ms.unwrap_or(now_ms) + DEADLINE_MS
            {
                broken.push(format!("I1: {} is still held by {id}", host.id));
            }
        }
        if state.trouble.calm {
            broken.extend(state.not_as_in_calm());
        }
        drop(state);
        for what in broken {
            self.violated(what);
        }
    }
}

impl State {
    fn rang(&self, over_ms: u64) -> bool {
        let within = over_ms..=over_ms + TOLD_WITHIN_MS;
        self.missing.iter().any(|(at_ms, missing)| *missing > 0 && within.contains(at_ms))
    }

    /// When nothing goes wrong, everything is as the policy asks.
    fn not_as_in_calm(&self) -> Vec<String> {
        let mut broken = vec![];
        if self.missing.iter().any(|(_, missing)| *missing > 0) {
            broken.push("I6: RunsMissing was raised, and nothing went wrong".to_owned());
        }
        for firing in &self.fired {
            let tag = firing.policy_id.replace("policy", "backup");
            let targets = self.hosts.values().filter(|host| host.policy_tags.contains_key(&tag));
            let of_it = |run: &&Run| run.order.policy_id == firing.policy_id;
            let runs = self.ledger.values().map(|one| &one.run).filter(of_it).count();
            let targets = targets.count();
            if runs != targets {
                broken.push(format!("I6: {firing:?} has {targets} targets and {runs} runs"));
            }
        }
        for recorded in self.ledger.values() {
            let run = &recorded.run;
            let Some(verdict) = &run.verdict else { continue };
            let runs = run.order.runnable_script().filter(|script| script.pre && script.post);
            let Some(script) = runs else { continue };
            let best = if script.document.starts_with("Stillpoint-") {
                Consistency::Application
            } else {
                Consistency::Claimed
            };
            // Two runs of one instance at the same time: one finds the other's hold.
            let alone = self
                .ledger
                .values()
                .filter(|other| other.run.order.instance_id == run.order.instance_id);
            if alone.count() == 1 && verdict.consistency != Some(best) {
                broken.push(format!(
                    "I2: nothing went wrong, and {} is {:?}",
                    run.order.run_id, verdict
                ));
            }
        }
        broken
    }
}
