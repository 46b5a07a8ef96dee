//! The client's fuzz targets without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/content.rs"]
mod content;
#[path = "../../../fuzz/src/contracts.rs"]
mod contracts;
#[path = "../../../fuzz/src/job_files.rs"]
mod job_files;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

use std::collections::BTreeSet;

use tilth_client::hostile;

#[test]
fn job_files() {
    smoke::smoke(job_files::TARGETS, "job_file", 15_000);
}

#[test]
fn schemas() {
    smoke::smoke(job_files::TARGETS, "schema", 30_000);
    for seed in smoke::seeds("schema") {
        let text = String::from_utf8(seed).unwrap();
        let compiled = tilth_client::infer::schema::compile(&text);
        assert!(compiled.is_ok(), "{text}\n{compiled:?}");
    }
}

#[test]
fn events_of_contracts() {
    smoke::smoke(contracts::TARGETS, "events", 10_000);
}

#[test]
fn refusals_of_contracts() {
    smoke::smoke(contracts::TARGETS, "refusals", 2_000);
}

/// Every event and every refusal is in a seed, and understood.
#[test]
fn seeds_of_contracts_are_taken() {
    let known: BTreeSet<_> = hostile::events().into_iter().collect();
    let read: BTreeSet<_> =
        smoke::seeds("events").iter().flat_map(|seed| contracts::read(seed)).collect();
    let left_out: Vec<_> = known.difference(&read).collect();
    assert!(!known.is_empty() && left_out.is_empty(), "no seed has {left_out:?}");
    let seeds = smoke::seeds("refusals");
    for kind in hostile::refusals() {
        let told = hostile::explain(&[&kind[..], &seeds[0]].concat());
        assert!(!told.detail.starts_with("calling was refused"), "{kind:x?}: {told}");
    }
    let odd = hostile::explain(b"neither of them");
    assert!(odd.detail.starts_with("calling was refused"), "{odd}");
}

#[test]
fn parts_of_sequences() {
    smoke::smoke(content::TARGETS, "parts", 1_000);
    let found: Vec<_> = smoke::seeds("parts").iter().map(|seed| content::wanted(seed)).collect();
    // In the order of their names: all, far, list, sizes, some.
    assert_eq!(found, [Some(true), None, Some(false), Some(true), Some(true)].map(Some));
}

/// Mutations get past the first line only if the seeds they are made of are sound.
#[test]
fn seeds_are_taken() {
    for seed in smoke::seeds("job_file") {
        let text = String::from_utf8(seed).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("p.wasm"), b"\0asm").unwrap();
        std::fs::write(dir.path().join("a"), b"a").unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("in/b.txt"), b"b").unwrap();
        let path = dir.path().join("job.toml");
        let loaded = tilth_client::job_file::load_bytes(&path, text.as_bytes(), &[]);
        assert!(loaded.is_ok(), "{text}\n{loaded:?}");
    }
}
