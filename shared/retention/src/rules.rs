//! The rules, as far as retention needs them.

/// A policy that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// False for DISABLED and ERROR: nothing is deleted then.
    pub enabled: bool,
    /// Its schedules.
    pub schedules: Vec<Schedule>,
}

/// One schedule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name; a set belongs to it by this name.
    pub name: String,
    /// How long its sets stay.
    pub keep: Keep,
    /// Whether it asks for copies in this Region, which are kept by their age.
    pub copies: bool,
    /// The longest time between two firings; none for a schedule that fires once.
    pub interval_ms: Option<u64>,
    /// Only sets that are proven to be application-consistent are good.
    pub require_application: bool,
    /// So many good sets stay whatever the rule says; at least 1 is taken.
    pub minimum_good_sets: usize,
}

/// DLM's RetainRule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest so many.
    Count(u32),
    /// Those that have not expired.
    Age,
}

/// What is the same for all policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a set stays after it was marked.
    pub grace_ms: u64,
}
