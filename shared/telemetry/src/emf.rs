//! CloudWatch's embedded metric format: a log line that becomes metrics, without a
//! call and without a permission.

use serde_json::{Map, Value, json};

/// The namespace of every metric of ours.
pub const NAMESPACE: &str = "Stillpoint";

/// The one dimension, by DLM's name for it.
const POLICY: &str = "DLMPolicyId";

/// A metric's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A time.
    Milliseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// One line with these metrics, each once for all policies together, which the account's
/// alarms watch, and once by policy. `facts` are searchable in the log only.
#[must_use]
pub fn emf(
    now_ms: u64,
    policy_id: &str,
    metrics: &[(&str, u64, Unit)],
    facts: &[(&str, &str)],
) -> String {
    line(now_ms, &[(POLICY, policy_id)], metrics, facts)
}

/// One line with these metrics for the whole account and Region, which an alarm needs no
/// dimension for.
#[must_use]
pub fn emf_total(now_ms: u64, metrics: &[(&str, u64, Unit)], facts: &[(&str, &str)]) -> String {
    line(now_ms, &[], metrics, facts)
}

fn line(
    now_ms: u64,
    dimensions: &[(&str, &str)],
    metrics: &[(&str, u64, Unit)],
    facts: &[(&str, &str)],
) -> String {
    // For the whole account and Region, and by each dimension.
    let sets: Vec<Vec<&str>> =
        [vec![]].into_iter().chain(dimensions.iter().map(|(name, _)| vec![*name])).collect();
    let definitions: Vec<Value> =
        metrics.iter().map(|(name, _, unit)| json!({"Name": name, "Unit": unit.name()})).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": sets,
                "Metrics": definitions,
            }],
        }),
    );
    line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    line.extend(metrics.iter().map(|(name, value, _)| ((*name).to_owned(), (*value).into())));
    line.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    Value::Object(line).to_string()
}
