//! Providers in processes of their own, with the real chain, contracts, client, content store and
//! sandbox. Only the worker is a scripted one, for it has to die, hang and lie on demand; the real
//! worker is tried together with all of this by the tests of `tilth`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod audits;
mod challenges;
mod downtime;
mod idler;
mod jobs;
mod kept;
mod mates;
mod owner;
mod recheck;
#[path = "../../fixture/script.rs"]
mod script;
mod spots;
mod stage;
mod trouble;
mod withheld;
mod world;
