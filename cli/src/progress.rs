//! Runs as they go, on standard error: lines that are drawn anew on a terminal, and a line for
//! each step where there is none.

use std::collections::BTreeMap;

use console::{Term, truncate_str};
use stillpoint_run::{Order, Phase};
use stillpoint_wire::ledger::Row;

use crate::words::{phase, result, span};
use crate::{Failure, Out};

/// So many runs are shown at a time; a terminal has little more lines.
const SHOWN_MAX: usize = 15;

/// The display of some runs.
pub(crate) struct Progress {
    out: Out,
    /// None where standard error is no terminal.
    term: Option<Term>,
    /// Lines of the terminal that are ours.
    drawn: usize,
    runs: Vec<Shown>,
}

/// One run, and what was last said of it.
struct Shown {
    run_id: String,
    instance_id: String,
    words: String,
    took: String,
    ended: bool,
}

impl Progress {
    pub(crate) fn new(orders: &[Order], out: Out) -> Self {
        let shown = |order: &Order| Shown {
            run_id: order.run_id.clone(),
            instance_id: order.instance_id.clone(),
            words: "asked for".to_owned(),
            took: String::new(),
            ended: false,
        };
        let term = Term::buffered_stderr();
        let term = term.is_term().then_some(term);
        Self { out, term, drawn: 0, runs: orders.iter().map(shown).collect() }
    }

    /// Shows where the runs stand now.
    pub(crate) fn show(
        &mut self,
        rows: &BTreeMap<String, Row>,
        made: &BTreeMap<String, usize>,
        now_ms: u64,
    ) -> Result<(), Failure> {
        for run in &mut self.runs {
            let Some(row) = rows.get(&run.run_id) else { continue };
            let words = words(row, made.get(&run.run_id).copied().unwrap_or(0), self.out);
            run.took = span(row.ended_ms.unwrap_or(now_ms).saturating_sub(row.started_ms));
            run.ended = row.outcome.is_some();
            if words != run.words && self.term.is_none() {
                self.out.note(&format!("{}  {words}  {}", run.instance_id, run.took));
            }
            run.words = words;
        }
        self.draw(false)
    }

    /// Leaves the terminal as it was.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.draw(true)
    }

    /// All lines in one write, so that nothing flickers; those that are not ended come first.
    fn draw(&mut self, clear: bool) -> Result<(), Failure> {
        let Some(term) = &self.term else { return Ok(()) };
        let mut lines = vec![];
        if !clear {
            let (open, ended): (Vec<_>, Vec<_>) = self.runs.iter().partition(|run| !run.ended);
            let shown = open.iter().chain(&ended).take(SHOWN_MAX);
            lines.extend(shown.map(|run| {
                let sign = if run.ended { "●" } else { "○" };
                format!("{sign} {}  {}  {}", run.instance_id, run.words, run.took)
            }));
            lines.push(self.out.paint.dim(&format!("{} of {} done", ended.len(), self.runs.len())));
        }
        let width = usize::from(term.size().1);
        let draw = || {
            term.clear_last_lines(self.drawn)?;
            for line in &lines {
                term.write_line(&truncate_str(line, width, "…"))?;
            }
            term.flush()
        };
        draw().map_err(|error| Failure::failed(format!("standard error: {error}")))?;
        self.drawn = lines.len();
        Ok(())
    }
}

/// What one run is at. The ledger is not written between the pre-script and the post-script,
/// while writers wait; that the set was made in between shows in EC2.
fn words(row: &Row, made: usize, out: Out) -> String {
    if row.outcome.is_some() {
        return result(row, out.paint);
    }
    let attempt =
        if row.attempt > 1 { format!(", attempt {}", row.attempt) } else { String::new() };
    match (row.phase, made) {
        (Phase::PreScript, 1..) => format!("set of {made} made, post-script{attempt}"),
        (Phase::PreScript, 0) => format!("pre-script, then the set{attempt}"),
        (other, _) => format!("{}{attempt}", phase(other)),
    }
}
