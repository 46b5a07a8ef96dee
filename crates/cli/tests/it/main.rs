//! The program as people use it: real processes, real chain, real sandbox, real guests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod accounts;
mod audits;
mod capability;
mod clients;
mod faults;
#[cfg(feature = "gpu")]
mod gpu;
mod guests;
mod inference;
mod jobs;
mod kept;
mod net;
mod node;
mod owner;
mod pictures;
mod pipelines;
mod refusals;
mod replicas;
mod running;
mod settling;
mod shop;
mod stopping;
mod upkeep;
