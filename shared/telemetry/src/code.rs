//! Codes of what never became a run. A run's own codes are `stillpoint_run::Code`.
//! Each has a page in docs/codes.

/// Why a firing or a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// The planner's event has a field that is missing, unknown or wrong.
    Request,
    /// There is no policy of that id.
    NoPolicy,
    /// The policy has a field that is missing, unknown or wrong.
    Policy,
    /// AWS did not answer while the plan was made; nothing was touched.
    Inventory,
    /// The runs could not be handed to the bus.
    Bus,
    /// The runs could not be put on record, so none was requested.
    Record,
    /// A firing never became a plan.
    Firing,
    /// A message in the runner's queue cannot be read.
    Message,
}

impl RefusalCode {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Request,
        Self::NoPolicy,
        Self::Policy,
        Self::Inventory,
        Self::Bus,
        Self::Record,
        Self::Firing,
        Self::Message,
    ];

    /// The code as people see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "SP1001",
            Self::NoPolicy => "SP1002",
            Self::Policy => "SP1003",
            Self::Inventory => "SP1004",
            Self::Bus => "SP1005",
            Self::Record => "SP1006",
            Self::Firing => "SP1007",
            Self::Message => "SP2001",
        }
    }
}
