//! What DynamoDB keeps: the ledger, the budget, the firings.

use stillpoint_budget::Bucket;
use stillpoint_drive::outside::{
    Buckets, Deployed, Fault, Firing, Lease, Ledger, Recorded, SaveFault, Watch,
};
use stillpoint_run::{Phase, Run};
use stillpoint_wire::ledger;

use super::Hand;

impl Ledger for Hand {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        let ms = self.latency(6);
        self.call("load", ms, |state, _| Ok(state.ledger.get(run_id).cloned())).await
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        let ms = self.latency(8);
        // Through the wire, so that what is not written down is lost here too.
        let body = ledger::write(run).unwrap_or_default();
        let answer = self.call("save", ms, |state, now_ms| {
            let Ok(run) = ledger::read(&body) else {
                state.violated(now_ms, format!("not a body of the ledger: {body}"));
                return Ok(None);
            };
            let found = state.ledger.get(&run.order.run_id).map(|one| one.version);
            if found != expected {
                state.reach("a write is overtaken");
                return Ok(None);
            }
            state.recorded(now_ms, &run);
            let version = expected.unwrap_or(0) + 1;
            let recorded = Recorded { run: run.clone(), version, lease: lease.clone() };
            state.requested.entry(run.order.run_id.clone()).or_insert_with(|| run.order.clone());
            state.ledger.insert(run.order.run_id.clone(), recorded);
            Ok(Some(version))
        });
        match answer.await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }

    async fn overdue(&self, now_ms: u64, limit: usize) -> Result<Vec<String>, Fault> {
        let ms = self.latency(10);
        self.call("overdue", ms, |state, _| {
            let open = state.ledger.iter().filter(|(_, one)| one.run.phase != Phase::Done);
            let mut due: Vec<_> = open
                .filter(|(_, one)| one.lease.due_ms < now_ms)
                .map(|(id, one)| (one.lease.due_ms, id.clone()))
                .collect();
            due.sort();
            due.truncate(limit);
            Ok(due.into_iter().map(|(_, id)| id).collect())
        })
        .await
    }
}

impl Buckets for Hand {
    async fn bucket(&self) -> Result<(Bucket, Option<u64>), Fault> {
        let ms = self.latency(6);
        self.call("bucket", ms, |state, _| Ok(state.bucket)).await
    }

    async fn save_bucket(&self, bucket: &Bucket, expected: Option<u64>) -> Result<(), SaveFault> {
        let ms = self.latency(8);
        let answer = self.call("save bucket", ms, |state, _| {
            if state.bucket.1 != expected {
                state.reach("a reservation is overtaken");
                return Ok(false);
            }
            if bucket.throttled_ms > state.bucket.0.throttled_ms {
                state.reach("the budget learns");
            }
            state.bucket = (*bucket, Some(expected.unwrap_or(0) + 1));
            Ok(true)
        });
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }
}

impl Watch for Hand {
    async fn deployed(&self) -> Result<Vec<Deployed>, Fault> {
        let ms = self.latency(30);
        self.call("deployed", ms, |state, _| Ok(state.deployed.clone())).await
    }

    async fn has_fired(&self, firing: &Firing) -> Result<bool, Fault> {
        let ms = self.latency(6);
        self.call("has fired", ms, |state, _| Ok(state.fired.contains(firing))).await
    }

    async fn record_firing(&self, firing: &Firing) -> Result<(), Fault> {
        let ms = self.latency(8);
        self.call("record firing", ms, |state, _| {
            state.fired.insert(firing.clone());
            if self.function == "guard" {
                state.found_missing.insert(firing.clone());
            }
            Ok(())
        })
        .await
    }
}
