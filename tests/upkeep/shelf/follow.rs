//! Copies, fast restore and sharing in the account.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint_upkeep::lifecycle::decide::Copy;
use stillpoint_upkeep::outside::{Fault, Follow, Snapshot};

use super::Account;

impl Follow for Account {
    async fn take_lease(
        &self,
        _name: &str,
        driver: &str,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<bool, Fault> {
        self.call("take_lease", |state| {
            let free = state.lease.as_ref().is_none_or(|(_, until)| *until <= now_ms);
            if free {
                state.lease = Some((driver.to_owned(), until_ms));
            }
            free
        })
        .await
    }

    async fn give_lease(&self, _name: &str, driver: &str) -> Result<(), Fault> {
        self.call("give_lease", |state| {
            state.lease = state.lease.take().filter(|(other, _)| other != driver);
        })
        .await
    }

    async fn fast_restores(&self) -> Result<BTreeMap<String, BTreeSet<String>>, Fault> {
        self.call("fast_restores", |state| state.fast.clone()).await
    }

    async fn copy_snapshot(&self, _from: &str, copy: &Copy) -> Result<String, Fault> {
        self.call("copy_snapshot", |state| {
            let snapshot_id = format!("snap-copy-{}", state.log.len());
            state.log.push(format!("copy {}", copy.snapshot_id));
            state.copies.push(Snapshot {
                snapshot_id: snapshot_id.clone(),
                volume_id: "vol-ffffffff".into(),
                started_ms: state.now_ms,
                state: "pending".into(),
                tier: "standard".into(),
                description: copy.description.clone(),
                tags: copy.tags.clone(),
                ..Snapshot::default()
            });
            snapshot_id
        })
        .await
    }

    async fn enable_fast_restore(&self, snapshot_id: &str, zones: &[String]) -> Result<(), Fault> {
        self.change(format!("enable_fast_restore {snapshot_id}"), |state| {
            state.fast.entry(snapshot_id.to_owned()).or_default().extend(zones.iter().cloned());
        })
        .await
    }

    async fn disable_fast_restore(&self, snapshot_id: &str, zones: &[String]) -> Result<(), Fault> {
        self.change(format!("disable_fast_restore {snapshot_id}"), |state| {
            if let Some(on) = state.fast.get_mut(snapshot_id) {
                on.retain(|zone| !zones.contains(zone));
            }
            state.fast.retain(|_, on| !on.is_empty());
        })
        .await
    }

    async fn share(&self, snapshot_id: &str, accounts: &[String]) -> Result<(), Fault> {
        self.change(format!("share {snapshot_id}"), |state| {
            state.shared.entry(snapshot_id.to_owned()).or_default().extend(accounts.to_vec());
        })
        .await
    }

    async fn unshare(&self, snapshot_id: &str, accounts: &[String]) -> Result<(), Fault> {
        self.change(format!("unshare {snapshot_id}"), |state| {
            if let Some(with) = state.shared.get_mut(snapshot_id) {
                with.retain(|account| !accounts.contains(account));
            }
            state.shared.retain(|_, with| !with.is_empty());
        })
        .await
    }
}
