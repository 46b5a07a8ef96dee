//! The fuzz targets of the words and the rules without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/challenges.rs"]
mod challenges;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;
#[path = "../../../fuzz/src/words.rs"]
mod words;

fn smoke(name: &str, count: usize) {
    smoke::smoke(words::TARGETS, name, count);
}

#[test]
fn frames_of_workers() {
    smoke("worker", 60_000);
}

#[test]
fn specs_and_contacts() {
    smoke("spec", 60_000);
}

#[test]
fn manifests() {
    smoke("manifest", 40_000);
}

#[test]
fn openings() {
    smoke("opening", 60_000);
}

#[test]
fn conversations_of_challenges() {
    smoke::smoke(challenges::TARGETS, "question", 60_000);
    smoke::smoke(challenges::TARGETS, "reply", 40_000);
}

#[test]
fn transcripts_of_challenges() {
    smoke::smoke(challenges::TARGETS, "transcript", 2_000);
}

/// Mutations get past the first byte only if the seeds they are made of are sound.
#[test]
fn seeds_are_taken() {
    use tilth_protocol::{
        Contact, JobSpec, RangeManifest,
        worker::{FromWorker, ToWorker, read_frame},
    };
    for seed in smoke::seeds("spec") {
        let (spec, contact) = (JobSpec::from_bytes(&seed), Contact::from_bytes(&seed));
        assert!(spec.is_ok() || contact.is_ok(), "{seed:x?}: {spec:?}, {contact:?}");
    }
    let manifests = smoke::seeds("manifest");
    assert!(manifests.iter().all(|seed| RangeManifest::from_bytes(seed, 300).is_ok()));
    let messages = smoke::seeds("worker");
    let mut kinds = 0;
    for seed in &messages {
        let (mut from, mut to) = (seed.as_slice(), seed.as_slice());
        kinds += std::iter::from_fn(|| read_frame::<FromWorker>(&mut from).ok().flatten()).count();
        kinds += std::iter::from_fn(|| read_frame::<ToWorker>(&mut to).ok().flatten()).count();
    }
    // Seven kinds of messages come from a worker, three go to it.
    assert_eq!(kinds, 10);
}
