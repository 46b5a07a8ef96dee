//! The protocol of audits as a game: honest people and adversaries on the real contracts, under virtual
//! time, from one seed.
//!
//! A [`World`] is a chain with a [`Cast`] on it. What honest providers work at is decided by the machine of the real
//! program (`tilth_provider::machine`), and what honest clients acknowledge and when they end their jobs by that of the
//! real client (`tilth_client::attention`). Providers, auditors and clients follow the machine that the real ones follow
//! (`tilth_client::audit`, `tilth_client::mates` where jobs are replicated, and `tilth_client::holding` where they are
//! kept), in front of it stands a mind ([`mind`]) that may mean well or not ([`crate::adversary`]). Execution is free
//! ([`workload`]), transactions cost no gas. The [`oracle::Oracle`] knows what everybody did and compares.
//!
//! The same seed gives the same [`Outcome`] and trace on every machine: no floating point, no threads, no
//! wall clock.

mod agent;
mod agent_ends;
mod agent_moves;
mod asking;
pub mod asks;
pub mod auditor;
mod bills;
mod blocks;
pub mod cast;
pub mod client;
pub mod closing;
pub mod counts;
mod crashing;
pub mod cuts;
mod deposits;
pub mod disputes;
mod draws;
pub mod duty;
mod earning;
mod giving;
mod hands;
pub mod holding;
mod judging;
pub mod keeps;
mod kept;
mod kept_logs;
#[cfg(test)]
mod kept_play;
#[cfg(test)]
mod lead;
mod lines;
mod losses;
mod mate_moves;
mod mate_work;
pub mod mates;
pub mod mind;
mod minding;
pub mod opening;
pub mod oracle;
mod outage;
mod outsiders;
mod owed;
pub mod pairing;
pub mod pairs;
mod paying;
pub mod pool;
pub mod provider;
pub mod public;
mod queueing;
pub mod replicas;
pub mod report;
pub mod sample;
pub mod scene;
mod seats;
pub mod serving;
mod spots;
mod tables;
mod tending;
pub mod work;
pub mod workload;
pub mod world;

pub use cast::{Allowed, Cast, Side};
pub use closing::Outcome;
pub use counts::Counts;
pub use report::{Report, Row, run_seed};
pub use world::World;
