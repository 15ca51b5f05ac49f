//! One thing that the doctor found.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// Not a finding; something to know.
    Note,
    /// Somebody should look, by day.
    Warn,
    /// The next run will not be a good one.
    Bad,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What was looked at, what was found, and what to do about it.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) subject: String,
    pub(super) text: String,
    /// Empty where there is nothing to do.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn good(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::of(Level::Good, subject, text, "")
    }

    pub(super) fn note(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::of(Level::Note, subject, text, "")
    }

    pub(super) fn warn(
        subject: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(Level::Warn, subject, text, remedy)
    }

    pub(super) fn bad(
        subject: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::of(Level::Bad, subject, text, remedy)
    }

    /// Whether it is more than something to know.
    pub(super) fn needs_somebody(&self) -> bool {
        matches!(self.level, Level::Warn | Level::Bad)
    }

    fn of(
        level: Level,
        subject: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level, subject: subject.into(), text: text.into(), remedy: remedy.into() }
    }
}
