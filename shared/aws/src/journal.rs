//! Steps as log lines, metrics as lines that CloudWatch reads.

use stillpoint_drive::outside::Journal;
use stillpoint_run::{Fact, Run, Seen};

use crate::Cloud;

impl Journal for Cloud {
    fn step(&self, run: &Run, seen: &Seen, facts: &[Fact]) {
        let (run_id, instance_id) = (&run.order.run_id, &run.order.instance_id);
        if facts.is_empty() {
            tracing::info!(run_id, instance_id, before = ?run.phase, ?seen, "nothing follows");
        }
        for fact in facts {
            tracing::info!(run_id, instance_id, before = ?run.phase, ?fact, "step");
        }
    }

    #[expect(clippy::print_stdout, reason = "an embedded metric is a line on stdout")]
    fn metric(&self, line: String) {
        println!("{line}");
    }
}
