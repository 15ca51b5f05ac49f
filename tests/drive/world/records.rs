//! What outlives a driver: the ledger, the budget, and what was published.

use stillpoint_drive::outside::{
    Budget, Bus, Fault, Journal, Lease, Ledger, Recorded, SaveFault, Slot,
};
use stillpoint_run::{Fact, Run, Seen};
use stillpoint_wire::event::RUN_FINISHED;

use super::World;

impl Bus for World {
    async fn publish(&self, detail_type: &str, details: Vec<String>) -> Result<(), Fault> {
        self.call("publish", |state| {
            for detail in details {
                if detail_type == RUN_FINISHED {
                    state.finished.push(detail);
                } else {
                    state.notified.push((detail_type.to_owned(), detail));
                }
            }
            Ok(())
        })
        .await
    }
}

impl Ledger for World {
    async fn load(&self, run_id: &str) -> Result<Option<Recorded>, Fault> {
        self.call("load", |state| Ok(state.ledger.get(run_id).cloned())).await
    }

    async fn save(
        &self,
        run: &Run,
        expected: Option<u64>,
        lease: &Lease,
    ) -> Result<u64, SaveFault> {
        // The body goes through the wire, so that what is not written down is lost here too.
        let body = stillpoint_wire::ledger::write(run).unwrap();
        let run = stillpoint_wire::ledger::read(&body).unwrap();
        let answer = self.call("save", |state| {
            let found = state.ledger.get(&run.order.run_id).map(|one| one.version);
            if found != expected {
                return Ok(None);
            }
            let version = expected.unwrap_or(0) + 1;
            let recorded = Recorded { run: run.clone(), version, lease: lease.clone() };
            state.ledger.insert(run.order.run_id.clone(), recorded);
            Ok(Some(version))
        });
        match answer.await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveFault::Overtaken),
            Err(fault) => Err(SaveFault::Fault(fault)),
        }
    }

    async fn overdue(&self, now_ms: u64, _: usize) -> Result<Vec<String>, Fault> {
        self.call("overdue", |state| {
            let due = state.ledger.iter().filter(|(_, one)| one.lease.due_ms < now_ms);
            Ok(due.map(|(id, _)| id.clone()).collect())
        })
        .await
    }
}

impl Budget for World {
    async fn reserve(&self, by_ms: u64) -> Result<Slot, Fault> {
        let wait_ms = self.wait_ms;
        self.call("reserve", |state| {
            let at_ms = state.now_ms + wait_ms;
            Ok(if at_ms > by_ms { Slot::NotBefore(at_ms) } else { Slot::At(at_ms) })
        })
        .await
    }

    async fn throttled(&self) -> Result<(), Fault> {
        self.call("throttled", |_| Ok(())).await
    }
}

impl Journal for World {
    fn step(&self, _: &Run, _: &Seen, _: &[Fact]) {}

    fn metric(&self, _: String) {}
}
