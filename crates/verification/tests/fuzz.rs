//! The fuzz targets of the words and the rules without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/challenges.rs"]
mod challenges;
#[path = "../../../fuzz/src/infer.rs"]
mod infer;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;
#[path = "../../../fuzz/src/words.rs"]
mod words;

use std::collections::BTreeSet;

use serde_json::Value;
use tilth_protocol::{
    Contact, DecodeError, GpuProgram, JobSpec, RangeManifest,
    challenge::{self, Transcript},
    decode,
    infer::{FromModel, Prompt, SignedReceipt, ToModel, message, program::InferProgram},
    worker::{FromWorker, MAX_FRAME_BYTES, ToWorker},
};

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

#[test]
fn conversations_about_models() {
    smoke::smoke(infer::TARGETS, "infer", 40_000);
}

#[test]
fn programs_that_are_not_webassembly() {
    smoke::smoke(infer::TARGETS, "infer_program", 40_000);
    smoke::smoke(infer::TARGETS, "gpu_program", 40_000);
}

/// How many variants a message has: the first tag that is refused as none counts them.
fn variants(refused: impl Fn(u8) -> Option<DecodeError>) -> usize {
    let is_one = |tag: &u8| {
        refused(*tag).is_none_or(|error| !error.to_string().contains("Unexpected variant tag"))
    };
    (0..=u8::MAX).take_while(is_one).count()
}

/// Panics unless every variant of a message is among these encodings, which may be of other messages, too.
macro_rules! every_variant_of {
    ($message:ty, $encodings:expr) => {{
        let max = MAX_FRAME_BYTES;
        let taken = $encodings.filter(|bytes| decode::<$message>(bytes, max).is_ok());
        let tags: BTreeSet<u8> = taken.map(|bytes| bytes[0]).collect();
        let all = variants(|tag| decode::<$message>(&[tag], max).err());
        assert!(all > 1 && tags.len() == all, "{all} variants, with seeds: {tags:?}");
    }};
}

/// The messages of a stream.
fn bodies(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let (body, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bodies.push(body.to_vec());
        stream = rest;
    }
    assert!(stream.is_empty(), "half a length: {stream:x?}");
    bodies
}

/// Mutations get past the first byte only if the seeds they are made of are sound.
#[test]
fn seeds_are_taken() {
    for seed in smoke::seeds("spec") {
        let (spec, contact) = (JobSpec::from_bytes(&seed), Contact::from_bytes(&seed));
        assert!(spec.is_ok() || contact.is_ok(), "{seed:x?}: {spec:?}, {contact:?}");
    }
    let manifests = smoke::seeds("manifest");
    assert!(manifests.iter().all(|seed| RangeManifest::from_bytes(seed, 300).is_ok()));
    let programs = smoke::seeds("infer_program");
    assert!(programs.iter().all(|seed| InferProgram::from_bytes(seed).is_ok()));
    let programs = smoke::seeds("gpu_program");
    assert!(programs.iter().all(|seed| GpuProgram::from_bytes(seed).is_ok()));
}

#[test]
fn workers_and_agents_have_a_seed_of_every_message() {
    let streams: Vec<_> = smoke::seeds("worker").iter().map(|seed| bodies(seed)).collect();
    let is_from = |body: &Vec<u8>| decode::<FromWorker>(body, MAX_FRAME_BYTES).is_ok();
    let is_to = |body: &Vec<u8>| decode::<ToWorker>(body, MAX_FRAME_BYTES).is_ok();
    // Each stream is of one direction, and sound to its end.
    let (from, to): (Vec<_>, Vec<_>) =
        streams.iter().partition(|stream| stream.iter().all(is_from));
    assert!(to.iter().all(|stream| stream.iter().all(is_to)), "{to:x?}");
    let (from, to) = (|| from.iter().copied().flatten(), || to.iter().copied().flatten());
    every_variant_of!(FromWorker, from());
    every_variant_of!(ToWorker, to());
    let serving =
        from().filter(|body| matches!(decode(body, MAX_FRAME_BYTES), Ok(FromWorker::Infer(_))));
    every_variant_of!(FromModel, serving.map(|body| &body[1..]));
    let asking =
        to().filter(|body| matches!(decode(body, MAX_FRAME_BYTES), Ok(ToWorker::Infer(_))));
    every_variant_of!(ToModel, asking.map(|body| &body[1..]));
}

#[test]
fn conversations_have_a_seed_of_every_message() {
    let (asked, said) = (smoke::seeds("question"), smoke::seeds("reply"));
    every_variant_of!(challenge::message::Question, asked.iter());
    every_variant_of!(challenge::message::Reply, said.iter());
    let transcripts = smoke::seeds("transcript");
    assert!(transcripts.iter().all(|seed| Transcript::from_bytes(seed).is_ok()));
    let of_models = smoke::seeds("infer");
    every_variant_of!(message::Question, of_models.iter());
    every_variant_of!(message::Reply, of_models.iter());
    let receipts = of_models.iter().filter(|seed| {
        decode::<SignedReceipt>(seed, MAX_FRAME_BYTES).is_ok()
            || serde_json::from_slice::<SignedReceipt>(seed).is_ok()
    });
    assert_eq!(receipts.count(), 2, "one as bytes, one as JSON");
    let kept = of_models.iter().filter_map(|seed| serde_json::from_slice::<Value>(seed).ok());
    let kept = kept.filter(|file| {
        let (prompt, receipt) = (file["prompt"].clone(), file["receipt"].clone());
        serde_json::from_value::<Prompt>(prompt).is_ok()
            && serde_json::from_value::<SignedReceipt>(receipt).is_ok()
    });
    assert_eq!(kept.count(), 1, "a receipt beside its prompt");
}
