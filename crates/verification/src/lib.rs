//! When is a result right? Pure functions only: no I/O, no clock, no randomness.
//!
//! * [`challenge`]: whether the answer to a benchmark challenge is right, and what may be said then.
//! * [`merkle_sum`]: the tree over a range's leaves whose every node commits the sum of units and
//!   failures below it, and its openings.
//! * [`range`]: whether a manifest that a provider published is the one it submitted, and keeps to
//!   the job's terms.
//! * [`receipt`]: whether a receipt for a model's answer is for what was asked and what came back.
//! * [`draw`]: which leaves are audited and who is drawn, from the beacon's value.
//! * [`audit`]: who is audited how often, what auditors commit to, and what their votes mean.
//! * [`replica`]: what the two providers of a replicated range commit to, and who the second one is.
//! * [`walk`]: how two different trees over a range are walked down to the first leaf in which they differ.
//! * [`holding`]: who holds what a kept range has made, how many are enough, and what that earns.
//! * [`arithmetic`]: detection, exposure, penalties and cuts.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod arithmetic;
pub mod audit;
pub mod challenge;
pub mod draw;
pub mod holding;
pub mod merkle_sum;
pub mod range;
pub mod receipt;
pub mod replica;
mod signer;
pub mod walk;

pub use merkle_sum::{MerkleSum, Opening, Root};
pub use range::{RangeClaim, RangeError, check_manifest};
