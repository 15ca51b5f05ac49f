//! Why nothing is restored or drilled. Each code has a page in docs/codes.

/// A stable code; never reused for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// A field of the request is missing, unknown or wrong.
    Request,
    /// There is no such set.
    NoSet,
    /// The set cannot be restored.
    Unusable,
    /// There is no way back from that restore.
    NoWayBack,
    /// There is no set that was not drilled already.
    AllDrilled,
    /// AWS did not answer while the restore was planned.
    NotAnswered,
    /// What was begun could not go on; its next driver does.
    Interrupted,
}

impl RefusalCode {
    /// The code as people see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "SP4001",
            Self::NoSet => "SP4002",
            Self::Unusable => "SP4003",
            Self::NoWayBack => "SP4004",
            Self::AllDrilled => "SP4005",
            Self::NotAnswered => "SP4006",
            Self::Interrupted => "SP4007",
        }
    }
}

/// A code with everything that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which kind of thing is wrong.
    pub code: RefusalCode,
    /// A line for each.
    pub lines: Vec<String>,
}

impl Refused {
    /// One thing that is wrong.
    #[must_use]
    pub fn new(code: RefusalCode, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }

    /// The lines, each with the code.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let code = self.code.as_str();
        self.lines.iter().map(|line| format!("{code}: {line}")).collect()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told().join("\n"))
    }
}

impl std::error::Error for Refused {}
