//! The fuzz targets without libFuzzer: the seeds of their corpora, and mutations of those, the same in every run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../it/fixture.rs"]
#[expect(dead_code, reason = "the fixture serves the other tests, too")]
mod fixture;
mod mutate;
#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

use mutate::Mutator;

/// The seeds of a target, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target on its seeds and on `count` mutations; names the input that it failed on.
fn smoke(name: &str, count: usize) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "no seeds for {name}");
    let mut mutator = Mutator::new(name);
    let mutated = (0..count).map(|_| mutator.mutate(&seeds));
    for input in seeds.iter().cloned().chain(mutated) {
        let run = std::panic::catch_unwind(|| target(&input));
        if run.is_err() {
            let shown = String::from_utf8_lossy(&input);
            panic!("{name} failed on {}\n{shown}", alloy::primitives::hex::encode(&input));
        }
    }
}

#[test]
fn requests() {
    smoke("request", 20_000);
}

#[test]
fn parameters_of_every_method() {
    smoke("parameters", 40_000);
}

#[test]
fn transactions() {
    smoke("transaction", 30_000);
}

#[test]
fn blocks_headers_and_receipts() {
    smoke("block", 200_000);
}

#[test]
fn stored_records() {
    smoke("stored", 200_000);
}

#[test]
fn snapshots() {
    smoke("snapshot", 200);
}

#[test]
fn journals() {
    smoke("journal", 1000);
}

#[test]
fn genesis_files() {
    smoke("genesis", 20_000);
}
