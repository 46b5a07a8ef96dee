//! A published encoder: all-MiniLM-L6-v2 as `cargo xtask models` fetches it, against what Hugging Face's tokenizer and
//! single precision make of it (`minilm.py`). `TILTH_MODELS` names the folder, as it does in `cargo xtask test`; where it
//! does not, `TILTH_REQUIRE_MODELS` makes that a failure.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tilth_tensor::blob::Blob;
use tilth_tensor::encoder::{Encoder, to_f32};
use tilth_tensor::kernels::{Kernels, scalar};
use tilth_tensor::matrix::Machine;
use tilth_tensor::shelf::Shelf;
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};
use tilth_tensor::workers::Workers;

/// The id of the imported blob: importing gives the same bytes everywhere.
const BLOB: &str = "d495eafc87c05c02ef67f250e9a3dc427ecb8fd675843efa80e6ed76e99f48eb";

#[derive(Deserialize)]
struct Reference {
    embedded: Vec<Embedded>,
    sampled: Vec<Sampled>,
}

#[derive(Deserialize)]
struct Embedded {
    text: String,
    tokens: Vec<u32>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Sampled {
    text: String,
    tokens: Vec<u32>,
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn embeddings_are_the_reference_s() {
    let Some(models) = std::env::var_os("TILTH_MODELS").map(PathBuf::from) else {
        let why = "TILTH_MODELS does not name a folder made by `cargo xtask models`";
        assert!(std::env::var_os("TILTH_REQUIRE_MODELS").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
        return;
    };
    let reference = std::fs::read(models.join("minilm-reference.json"))
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask models", models.display()));
    let reference: Reference = serde_json::from_slice(&reference).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let entry = Shelf::new(folder.path()).import(&models.join("all-minilm-l6-v2")).unwrap();
    println!("blob {}, {} bytes", entry.id, entry.size);
    let blob = Blob::open(Arc::new(std::fs::read(&entry.path).unwrap())).unwrap();
    let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
    let encoder = Encoder::open(&blob).unwrap();
    assert_eq!((encoder.dimension(), encoder.context()), (384, 256));

    let mut different = vec![];
    let mut count = 0;
    for sampled in &reference.sampled {
        let ours = tokenizer.encode_input(&sampled.text).unwrap();
        count += ours.len();
        if ours != sampled.tokens {
            different.push(&sampled.text);
        }
    }
    println!("{count} tokens of {} texts", reference.sampled.len());
    assert!(different.is_empty(), "{} differ: {different:?}", different.len());

    for embedded in &reference.embedded {
        assert_eq!(tokenizer.encode_input(&embedded.text).unwrap(), embedded.tokens);
    }
    assert!(reference.embedded.len() >= 190);
    let texts: Vec<&[u32]> = reference.embedded.iter().map(|e| &*e.tokens).collect();
    let machine = Machine { kernels: Kernels::detect(), workers: Workers::new(2).unwrap() };
    let ours = encoder.embed(&texts, &machine).unwrap();
    let cosines: Vec<f64> = ours
        .iter()
        .zip(&reference.embedded)
        .map(|(ours, reference)| cosine(&to_f32(ours), &reference.embedding))
        .collect();
    let lowest = cosines.iter().copied().fold(1.0, f64::min);
    let mean = cosines.iter().sum::<f64>() / f64::from(u32::try_from(cosines.len()).unwrap());
    println!("{} texts: cosine {lowest:.6} at least, {mean:.6} on average", cosines.len());
    assert!(lowest >= 0.999, "{lowest}");

    // The scalar kernels, a text at a time, for some of them.
    let reference = Machine { kernels: scalar::KERNELS, workers: Workers::one() };
    for (text, ours) in texts.iter().zip(&ours).take(40) {
        assert_eq!(&encoder.embed(&[*text], &reference).unwrap()[0], ours);
    }
    assert_eq!(entry.id.to_string(), BLOB);
}
