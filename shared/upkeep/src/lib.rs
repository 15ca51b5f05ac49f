//! What happens to a snapshot set after it was made.
//!
//! [`lifecycle`] copies, shares and keeps fast restore. [`jobs`] carries out restores and drills.
//! [`retention`] decides what goes, [`reaper`] carries it out. What is known of a set is read from
//! its tags ([`observe`]), what is wanted from the policies ([`rules`]); nothing is kept anywhere
//! else, so that whoever starts from the beginning goes on where somebody else stopped.
//!
//! It knows no AWS (that is `stillpoint_aws`, behind the traits of [`outside`]).

pub mod adopt;
pub mod jobs;
pub mod lifecycle;
pub mod observe;
pub mod outside;
pub mod reaper;
pub mod retention;
pub mod rules;
