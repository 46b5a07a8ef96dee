//! Integration tests: real clients against a real node.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod calls;
mod chain_tracing;
mod chains;
mod classes;
mod conformance;
mod contracts;
mod crash;
mod differential;
mod durability;
mod errors;
mod fixture;
mod history;
mod inspection;
mod live;
mod long_chain;
mod maintenance;
mod messages;
mod peer;
mod pending;
mod probe;
mod producer;
mod programs;
mod retention;
mod simulation;
mod socket;
mod tracing;
mod transactions;
