//! What the planner answers, and how much of it.

use serde::Serialize;
use serde_json::Value;
use stillpoint_policy::{Estimate, NextFiring};
use stillpoint_run::Order;

/// Lambda fails an invocation whose answer is longer than 6 MB, also after all of its work is
/// done; a million is left for what is beside the lists. Source: AWS Lambda Developer Guide,
/// "Lambda quotas".
const ANSWER_BYTES_MAX: usize = 5_000_000;

/// What the planner answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it was only planned.
    pub dry_run: bool,
    /// The policy.
    pub policy_id: String,
    /// The schedule; of several that fire at this time, the one that keeps the set.
    pub schedule_name: String,
    /// All schedules that fire at this time and share the set.
    pub schedule_names: Vec<String>,
    /// The scheduled time, or `on-demand:<request id>`.
    pub nominal_time: String,
    /// Whether the policy is enabled; a disabled one has no runs.
    pub enabled: bool,
    /// The very values that are executed.
    pub runs: Vec<Order>,
    /// Instances that were left out, each with its reason.
    pub left_out: Value,
    /// What somebody should look at.
    pub warnings: Vec<String>,
    /// When the policy fires next.
    pub next_firings: Vec<NextFiring>,
    /// How many calls the runs will make.
    pub api_calls: Value,
    /// How long the runs take, and what the policy costs.
    pub estimate: Estimate,
}

impl Answer {
    /// Keeps as much of the two lists as a function's answer can hold, half of it each, and says
    /// what was left away. Nobody else needs it: the work is done by then.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        let runs = fitting(&self.runs, ANSWER_BYTES_MAX / 2);
        if runs < self.runs.len() {
            let all = self.runs.len();
            self.warnings.push(format!("runs: {runs} of {all} are listed; all of them count"));
            self.runs.truncate(runs);
        }
        if let Value::Array(left_out) = &mut self.left_out {
            let fits = fitting(left_out, ANSWER_BYTES_MAX / 2);
            if fits < left_out.len() {
                let all = left_out.len();
                self.warnings.push(format!("leftOut: {fits} of {all} are listed"));
                left_out.truncate(fits);
            }
        }
        self
    }
}

/// How many of a list are no longer than this as JSON.
fn fitting<T: Serialize>(list: &[T], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |one: &&T| {
        bytes += serde_json::to_vec(one).map_or(0, |json| json.len() + 1);
        bytes <= bytes_max
    };
    list.iter().take_while(fits).count()
}
