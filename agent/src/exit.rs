//! The numbers that the agent ends with. DLM and the runner branch on them, so they
//! are a promise; what was meant is in the receipt's `state` and `reason` as well.
//!
//! SSM reads 137, 168, 169, 194 and 3010 in its own way, and shells 124 to 127 and 255
//! in theirs: none of them is ever used.

/// What was asked for is done.
pub const OK: u8 = 0;
/// The pre-script failed after it began; everything is rolled back.
pub const PRE_FAILED: u8 = 201;
/// The post-script failed: something is still frozen.
pub const POST_FAILED: u8 = 202;
/// The hold had ended before the post-script came.
pub const AUTO_THAWED: u8 = 203;
/// A hold is in place already, ours or somebody else's.
pub const ALREADY_HELD: u8 = 204;
/// There is no hold to end.
pub const NOTHING_HELD: u8 = 205;
/// Not ready for a hold; nothing was touched.
pub const NOT_READY: u8 = 206;
