//! The protocol under virtual time and one seed, with the real contracts on an EVM in memory.
//!
//! [`Farm`] is a chain of contracts whose clock the caller moves. On it [`auction`] lets a hundred
//! providers with their own costs and speeds bid for a job, honestly, waiting or in a ring, and compares
//! what the client pays and when the job ends with the best assignment there could have been
//! ([`optimum`]). [`trust`] plays whole audited jobs with honest people and named adversaries ([`adversary`]), and
//! watches over what is promised. The same seed gives the same figures on every machine: no floating point, no threads, no
//! wall clock.
//!
//! `cargo run --release -p tilth-simulation` prints the table of `docs/guide/pricing.md`,
//! `cargo run --release -p tilth-simulation -- trust` that of `docs/guide/trust.md`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod adversary;
pub mod auction;
pub mod bidders;
pub mod farm;
pub mod optimum;
pub mod options;
pub mod random;
pub mod table;
pub mod trust;

pub use auction::{Auction, Outcome, Rule};
pub use bidders::{Bidder, Crowd, Policy};
pub use farm::{Farm, FarmError};
pub use options::Options;
pub use random::Random;
