//! The fuzz targets of models without libFuzzer; see `fuzz/README.md`.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../../../fuzz/src/models.rs"]
mod models;
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../fuzz/src/smoke.rs"]
mod smoke;

#[test]
fn gguf_files() {
    smoke::smoke(models::TARGETS, "gguf", 4_000);
}

#[test]
fn safetensors_files() {
    smoke::smoke(models::TARGETS, "safetensors", 1_500);
}

#[test]
fn model_blobs() {
    smoke::smoke(models::TARGETS, "model", 4_000);
}
