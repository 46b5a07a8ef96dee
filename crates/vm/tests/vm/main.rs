//! The machine from outside: programs go in, outcomes come out.

mod adversaries;
mod bombs;
mod instrumentation;
mod isolation;
mod refusals;
mod support;
mod wasi;
