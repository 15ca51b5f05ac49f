//! The planner's input: what the schedule sends, and what a person types in the
//! console's Test tab.

use serde_json::{Map, Value};
use stillpoint_policy::{Assumptions, FieldError};

/// What is asked of the planner.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which policy.
    pub policy: PolicyRef,
    /// Which of its schedules; the first if none.
    pub schedule: Option<String>,
    /// The scheduled time; none on demand.
    pub scheduled_time: Option<String>,
    /// On demand, what tells this request from another one; the invocation's own id if none. A
    /// request that is repeated under its id is the same firing.
    pub request_id: Option<String>,
    /// Narrows the targets to these.
    pub instance_ids: Option<Vec<String>>,
    /// Only plan.
    pub dry_run: bool,
    /// Prices and guesses of the estimate, where they are not the usual ones.
    pub assumptions: Assumptions,
}

/// Where the policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyRef {
    /// Parameter Store.
    Id(String),
    /// The request itself.
    Inline(String),
}

const FIELDS: &str = "policyId, policy, schedule, scheduledTime, requestId, instanceIds, dryRun, \
                      assumptions";

impl Request {
    /// Reads the event.
    ///
    /// # Errors
    /// Every field that is missing, unknown or wrong.
    pub fn read(event: &Value) -> Result<Self, Vec<FieldError>> {
        let Value::Object(fields) = event else {
            return Err(vec![wrong("event", event, "a JSON object")]);
        };
        let mut errors = vec![];
        for (name, value) in fields {
            if !FIELDS.split(", ").any(|known| known == name) {
                errors.push(wrong(name, value, FIELDS));
            }
        }
        let policy = policy(fields, &mut errors);
        let schedule = text(fields, "schedule", &mut errors);
        let scheduled_time = text(fields, "scheduledTime", &mut errors);
        let request_id = request_id(fields, &mut errors);
        let instance_ids = instance_ids(fields, &mut errors);
        let dry_run = match fields.get("dryRun") {
            None => false,
            Some(Value::Bool(dry_run)) => *dry_run,
            Some(other) => {
                errors.push(wrong("dryRun", other, "true or false"));
                false
            }
        };
        let assumptions = assumptions(fields, &mut errors);
        match policy {
            Some(policy) if errors.is_empty() => Ok(Self {
                policy,
                schedule,
                scheduled_time,
                request_id,
                instance_ids,
                dry_run,
                assumptions,
            }),
            _ => Err(errors),
        }
    }
}

fn policy(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<PolicyRef> {
    match (fields.get("policyId"), fields.get("policy")) {
        (Some(Value::String(id)), None) if is_id(id) => Some(PolicyRef::Id(id.clone())),
        (Some(other), None) => {
            errors.push(wrong("policyId", other, ID));
            None
        }
        (None, Some(policy @ Value::Object(_))) => Some(PolicyRef::Inline(policy.to_string())),
        (None, Some(other)) => {
            errors.push(wrong("policy", other, "a policy as a JSON object"));
            None
        }
        (both, _) => {
            errors.push(FieldError {
                path: "policyId".to_owned(),
                found: if both.is_some() { "policyId and policy" } else { "nothing" }.to_owned(),
                allowed: "either policyId or policy".to_owned(),
            });
            None
        }
    }
}

/// The characters that a parameter's name allows, so that the id cannot leave the
/// prefix that the planner may read.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn assumptions(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Assumptions {
    let Some(given) = fields.get("assumptions") else { return Assumptions::default() };
    Assumptions::read(&given.to_string()).unwrap_or_else(|wrong| {
        errors.extend(wrong);
        Assumptions::default()
    })
}

const ID: &str = "1 to 64 of letters, digits, '-', '_' and '.'";

fn request_id(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<String> {
    let value = fields.get("requestId").filter(|value| !value.is_null())?;
    match value {
        Value::String(_) if fields.get("scheduledTime").is_some_and(|time| !time.is_null()) => {
            errors.push(wrong("requestId", value, "no requestId beside scheduledTime"));
            None
        }
        Value::String(id) if is_id(id) => Some(id.clone()),
        other => {
            errors.push(wrong("requestId", other, ID));
            None
        }
    }
}

fn text(fields: &Map<String, Value>, name: &str, errors: &mut Vec<FieldError>) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => {
            errors.push(wrong(name, other, "a string"));
            None
        }
    }
}

fn instance_ids(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<Vec<String>> {
    let value = fields.get("instanceIds")?;
    let Value::Array(items) = value else {
        if !value.is_null() {
            errors.push(wrong("instanceIds", value, "a list of instance ids"));
        }
        return None;
    };
    if items.is_empty() {
        errors.push(wrong("instanceIds", value, "at least one instance id, or no instanceIds"));
    }
    let mut ids = vec![];
    for (index, item) in items.iter().enumerate() {
        match item {
            Value::String(id) if is_instance_id(id) => ids.push(id.clone()),
            other => {
                let path = format!("instanceIds[{index}]");
                errors.push(wrong(&path, other, "an instance id such as i-0123456789abcdef0"));
            }
        }
    }
    Some(ids)
}

fn is_instance_id(id: &str) -> bool {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn wrong(path: &str, found: &Value, allowed: &str) -> FieldError {
    let found: String = found.to_string().chars().take(100).collect();
    FieldError { path: path.to_owned(), found, allowed: allowed.to_owned() }
}
