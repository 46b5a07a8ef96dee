//! A published model: SmolLM2-135M-Instruct, from the file that `cargo xtask models` fetches, and its tokens
//! against what Hugging Face's tokenizers make of the same vocabulary (`smollm2.py`). `TILTH_MODELS` names the folder, as
//! it does in `cargo xtask test`.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tilth_tensor::blob::Blob;
use tilth_tensor::chat::{Message, Template};
use tilth_tensor::engine::{Engine, Limits, Request};
use tilth_tensor::import::{self, Gguf, Quantiser};
use tilth_tensor::int1::sampling::Sampling;
use tilth_tensor::kernels::{Kernels, scalar};
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::Model;
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};
use tilth_tensor::workers::Workers;

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The id of the imported blob: importing gives the same bytes everywhere.
const BLOB: &str = "e74bd4bdf5c9d1ab9e0661da1caf76d974574c22db57053b0cb66c90e93baf77";
/// What it answers, greedily.
const ANSWER: [u32; 8] = [504, 3575, 282, 4649, 314, 7042, 30, 2];

/// "Hello" in its template, which begins with a system message of its own: what jinja2 and Hugging Face's
/// tokenizer make of it.
const TEMPLATED: [u32; 31] = [
    1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407,
    19712, 8182, 2, 198, 1, 4093, 198, 19556, 2, 198, 1, 520, 9531, 198,
];

#[derive(Deserialize)]
struct Sampled {
    text: String,
    tokens: Vec<u32>,
}

/// The folder with the model; `None`, said aloud, where there is none. `TILTH_REQUIRE_MODELS` makes that a failure.
fn models() -> Option<PathBuf> {
    let models = std::env::var_os("TILTH_MODELS").map(PathBuf::from);
    if models.is_none() {
        let why = "TILTH_MODELS does not name a folder made by `cargo xtask models`";
        assert!(std::env::var_os("TILTH_REQUIRE_MODELS").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
    }
    models
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path)
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask models", path.display()))
}

#[test]
fn tokens_are_the_reference_s() {
    let Some(models) = models() else { return };
    let reference = read(&models.join("smollm2-reference.json"));
    let reference: Vec<Sampled> = serde_json::from_slice(&reference).unwrap();
    let file = read(&models.join(FILE));
    let tokenizer = Tokenizer::new(&Gguf::parse(&file).unwrap().vocabulary().unwrap()).unwrap();
    let mut count = 0;
    for Sampled { text, tokens } in &reference {
        assert_eq!(&tokenizer.encode(text).unwrap(), tokens, "{text:?}");
        count += tokens.len();
    }
    println!("{count} tokens of {} texts", reference.len());
    assert!(count > 200_000, "{count}");
}

#[test]
fn answers_the_same_on_every_kernel() {
    let Some(models) = models() else { return };
    let file = read(&models.join(FILE));
    let mut blob = vec![];
    let (id, _) = import::gguf(&file, Quantiser::default(), &mut blob).unwrap();
    assert_eq!(id.to_string(), BLOB);
    let blob = Blob::open(Arc::new(blob)).unwrap();
    let vocabulary = Vocabulary::open(&blob).unwrap();
    let tokenizer = Tokenizer::new(&vocabulary).unwrap();
    let messages = [Message { role: "user".into(), content: "Hello".into() }];
    assert_eq!(
        Template::new(&vocabulary).unwrap().tokens(&messages, true, &tokenizer).unwrap(),
        TEMPLATED
    );
    let model = Arc::new(Model::open(&blob).unwrap());
    let question =
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    let prompt = tokenizer.encode_template(question).unwrap();
    for (kernels, threads) in [(Kernels::detect(), 1), (Kernels::detect(), 2), (scalar::KERNELS, 2)]
    {
        let machine = Machine { kernels, workers: Workers::new(threads).unwrap() };
        let limits = Limits { pages: 4, rows: 64, running: 1, waiting: 1 };
        let mut engine = Engine::new(model.clone(), Arc::new(machine), limits).unwrap();
        let stops = tokenizer.ends().to_vec();
        let request = Request {
            id: 0,
            prompt: prompt.clone(),
            most: 20,
            sampling: Sampling::GREEDY,
            stops,
            alternatives: None,
        };
        engine.submit(request).unwrap();
        let mut tokens = vec![];
        while !engine.is_idle() {
            tokens.extend(engine.step().unwrap().into_iter().map(|event| event.token));
        }
        assert_eq!(tokens, ANSWER, "{}", kernels.name);
        assert_eq!(tokenizer.decode(&tokens), "The capital of France is Paris.");
    }
}
