//! The problems found in a policy: one [`FieldError`] each, and the list that collects them.
//!
//! Nothing here stops at the first problem; whoever reads a policy reports and goes on. The list
//! is bounded, because the document is not ours and may repeat one mistake a million times.

use std::fmt;

/// Enough to mend any policy a person wrote; more is a file that is no policy at all.
const MAX_REPORTED_PROBLEMS: usize = 100;

/// One thing in a policy that cannot be used, and what could stand there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, counted from the Policy object whichever form the document has:
    /// `PolicyDetails.Schedules[0].CreateRule`.
    pub path: String,
    pub found: String,
    pub allowed: String,
}

impl FieldError {
    pub(crate) fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), found: found.into(), allowed: allowed.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}, allowed {}", self.path, self.found, self.allowed)
    }
}

impl std::error::Error for FieldError {}

#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<FieldError>,
    unsaid: usize,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        path: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        if self.errors.len() < MAX_REPORTED_PROBLEMS {
            self.errors.push(FieldError::new(path, found, allowed));
        } else {
            self.unsaid += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(crate) fn into_errors(mut self) -> Vec<FieldError> {
        if self.unsaid > 0 {
            let found = format!("{} more problems", self.unsaid);
            self.errors.push(FieldError::new("document", found, "none"));
        }
        self.errors
    }
}
