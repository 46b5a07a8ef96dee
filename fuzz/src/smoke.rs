//! The fuzz targets without libFuzzer: the seeds of their corpora, and mutations of those, the same in every run.

use std::path::PathBuf;

use crate::mutate::{Mutator, Target};

/// The seeds of a target, in the order of their names.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target on its seeds and on `count` mutations; names the input that it failed on.
pub fn smoke(targets: &[Target], name: &str, count: usize) {
    let (_, target) = targets.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "no seeds for {name}");
    let mut mutator = Mutator::new(name);
    let mutated = (0..count).map(|_| mutator.mutate(&seeds));
    for input in seeds.iter().cloned().chain(mutated) {
        let run = std::panic::catch_unwind(|| target(&input));
        if run.is_err() {
            let shown = String::from_utf8_lossy(&input);
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{name} failed on {hex}\n{shown}");
        }
    }
}
