//! Why a run is not what was hoped for: a stable code and words for the person on
//! call. Each code has a page in docs/codes.

use serde::{Deserialize, Serialize};

/// A stable code with what happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which kind of thing happened; never reused for another meaning.
    pub code: Code,
    /// What happened, and in which state things are.
    pub text: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// The stable codes of runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Code {
            /// Every code that a run can end with.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The code as people see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }
        }
    };
}

codes! {
    /// No script could be run on this instance, as the plan knew already.
    ScriptSkipped = "SP3001";
    /// The pre-script failed; what it had frozen was rolled back or released.
    PreFailed = "SP3002";
    /// The pre-script did not end in time; the post-script was sent to release it.
    PreTimedOut = "SP3003";
    /// SSM did not take the command: it did not run.
    NotSent = "SP3004";
    /// The instance's own deadline released the hold before the post-script came.
    AutoThawed = "SP3005";
    /// The post-script failed: it is not confirmed that everything is thawed.
    ThawUnconfirmed = "SP3006";
    /// The hold had a gap.
    HoldBroken = "SP3007";
    /// The document reported success without a receipt: claimed, not proven.
    NoReceipt = "SP3008";
    /// The output claims to be a receipt and cannot be read.
    ReceiptUnreadable = "SP3009";
    /// EC2 refused CreateSnapshots.
    CreateRefused = "SP3010";
    /// The answer to CreateSnapshots was lost.
    ReplyLost = "SP3011";
    /// The function that drove the run stopped half-way.
    Interrupted = "SP3012";
    /// A volume of the set was not frozen.
    VolumeNotHeld = "SP3013";
    /// The policy has no script: crash-consistent is what it asks for.
    NoScript = "SP3014";
    /// The policy runs only one of the two stages, which proves nothing.
    OneStageOnly = "SP3015";
    /// The instance does not exist any more.
    InstanceGone = "SP3016";
    /// The application or the agent was not ready; nothing was touched.
    NotReady = "SP3017";
    /// EC2 throttled CreateSnapshots.
    CreateThrottled = "SP3018";
    /// It is not known whether SSM took the command.
    CommandUncertain = "SP3019";
    /// The run was not begun within its start window.
    TooLate = "SP3020";
    /// The document reported success without having run: its steps were skipped.
    NothingRan = "SP3021";
    /// The VSS document failed.
    VssFailed = "SP3022";
    /// The VSS document did not end in time, and was ended.
    VssTimedOut = "SP3023";
    /// It is not known whether the VSS document still runs.
    VssUncertain = "SP3024";
    /// A snapshot of the VSS document is not marked application-consistent.
    VssNotConsistent = "SP3025";
    /// The VSS document made no snapshot of a volume of the plan.
    VssIncomplete = "SP3026";
    /// The policy keeps the applications' writers out of the VSS snapshot.
    VssNoWriters = "SP3027";
}

impl Cause {
    /// A cause in the words of whoever saw it.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.text)
    }
}
