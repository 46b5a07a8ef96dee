//! Challenges between a prover and the checker: honest ones pass, cheats are found as often as arithmetic says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

mod cheats;
mod honest;
mod less_memory;
mod seeds;
mod vectors;
mod world;
