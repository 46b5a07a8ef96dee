//! The fuzz targets of models without libFuzzer; see `fuzz/README.md`.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/models.rs"]
mod models;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/published.rs"]
mod published;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

use std::sync::Arc;

use tilth_tensor::{
    blob::Blob,
    encoder::Encoder,
    import::{self, Quantiser},
    model::Model,
};

#[test]
fn gguf_files() {
    smoke::smoke(models::TARGETS, "gguf", 4_000);
}

#[test]
fn safetensors_files() {
    smoke::smoke(published::TARGETS, "safetensors", 1_500);
}

#[test]
fn model_blobs() {
    smoke::smoke(models::TARGETS, "model", 4_000);
}

#[test]
fn configurations_of_decoders() {
    smoke::smoke(published::TARGETS, "config", 3_000);
}

#[test]
fn files_beside_encoders() {
    smoke::smoke(published::TARGETS, "encoder_files", 6_000);
}

#[test]
fn tokenizers() {
    smoke::smoke(published::TARGETS, "tokenizer", 10_000);
}

#[test]
fn chat_templates() {
    smoke::smoke(published::TARGETS, "template", 6_000);
}

/// Mutations get past the first number only if the seeds they are made of are sound.
#[test]
fn seeds_are_taken() {
    let count = |name: &str, taken: fn(&[u8]) -> bool| {
        smoke::seeds(name).iter().filter(|seed| taken(seed)).count()
    };
    let imports = |file: &[u8]| import::gguf(file, Quantiser::default(), &mut vec![]).is_ok();
    assert_eq!(count("gguf", imports), 1);
    let runs = |blob: &[u8]| {
        let blob = Blob::open(Arc::new(blob.to_vec()));
        blob.is_ok_and(|blob| Model::open(&blob).is_ok() || Encoder::open(&blob).is_ok())
    };
    assert_eq!(count("model", runs), 2, "one of a decoder, one of an encoder");
    assert_eq!(count("safetensors", published::is_decoder), 1);
    assert_eq!(count("safetensors", published::is_encoder), 1);
    // The third is of a family that has other tensors.
    assert_eq!(count("config", published::is_decoders), 2);
    assert_eq!(count("encoder_files", published::is_encoders), 1);
    assert_eq!(count("tokenizer", published::vocabulary), 4, "one of every kind");
    assert_eq!(count("template", published::conversation), 4);
}
