//! Fuzz targets and what libFuzzer needs of them. The bodies run as ordinary tests, too: see `README.md`.

pub mod challenges;
#[cfg(feature = "client")]
pub mod content;
#[cfg(feature = "client")]
pub mod contracts;
#[path = "../../crates/chain/tests/it/fixture.rs"]
#[expect(dead_code, reason = "the fixture serves the tests, too")]
mod fixture;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod infer;
#[cfg(feature = "client")]
pub mod job_files;
pub mod models;
pub mod mutate;
#[cfg(feature = "vm")]
pub mod programs;
pub mod published;
pub mod targets;
pub mod words;

/// Changes JSON as a tree most of the time: what libFuzzer does to its bytes rarely leaves it JSON.
pub fn mutate_json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if !seed.is_multiple_of(4) {
        let mutated = mutate::Mutator::seeded(seed).json(&data[..size]);
        if let Some(mutated) = mutated.filter(|mutated| mutated.len() <= max_size) {
            data[..mutated.len()].copy_from_slice(&mutated);
            return mutated.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}
