//! The machine from outside: programs go in, outcomes come out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod adversaries;
mod bombs;
mod instrumentation;
mod isolation;
mod language;
mod refusals;
mod support;
mod wasi;
