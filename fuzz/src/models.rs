//! What is fuzzed of models: the files they come in, and what is run after a file was taken.

use std::sync::Arc;

use tilth_tensor::{
    blob::Blob,
    cache::{Cache, Table},
    encoder::Encoder,
    import::{self, Quantiser},
    matrix::Machine,
    model::{Model, Row},
    tokenizer::{Tokenizer, Vocabulary},
};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] =
    &[("gguf", gguf), ("safetensors", safetensors), ("model", model)];

/// The most memory that a cache of a fuzzed model may take; a service bounds it by configuration.
const CACHE_BYTES_MAX: usize = 16 << 20;

/// A GGUF file: imported or refused; what was imported opens.
pub fn gguf(data: &[u8]) {
    let mut blob = vec![];
    if import::gguf(data, Quantiser::default(), &mut blob).is_ok() {
        let blob = Blob::open(Arc::new(blob)).expect("what was written is read");
        run(&blob);
    }
}

/// A safetensors file beside a sound configuration and tokenizer.
pub fn safetensors(data: &[u8]) {
    let config = br#"{"model_type":"llama","num_hidden_layers":1,"hidden_size":32,"num_attention_heads":2,
        "num_key_value_heads":1,"intermediate_size":32,"max_position_embeddings":64,"rms_norm_eps":1e-5}"#;
    let tokenizer = br#"{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#;
    let mut blob = vec![];
    if import::safetensors(data, config, tokenizer, None, Quantiser::default(), &mut blob).is_ok() {
        run(&Blob::open(Arc::new(blob)).expect("what was written is read"));
    }
}

/// A model blob: refused, or opened and run for a token.
pub fn model(data: &[u8]) {
    if let Ok(blob) = Blob::open(Arc::new(data.to_vec())) {
        run(&blob);
    }
}

fn run(blob: &Blob) {
    if let Ok(tokenizer) = Vocabulary::open(blob).and_then(|vocabulary| Tokenizer::new(&vocabulary))
    {
        let tokens = tokenizer.encode_template("a the<|im_end|>\u{1f33e} 1").expect("short");
        assert!(tokenizer.decode(&tokens).len() <= 3 * 64);
    }
    let machine = Machine::new(1).expect("one thread");
    if let Ok(encoder) = Encoder::open(blob) {
        let embeddings = encoder.embed(&[&[0]], &machine).expect("the first token exists");
        assert_eq!(embeddings[0].len(), encoder.dimension());
    }
    let Ok(model) = Model::open(blob) else { return };
    if model.cache_shape().page_bytes() > CACHE_BYTES_MAX {
        return;
    }
    let mut cache = Cache::new(model.cache_shape(), 1).expect("bounded");
    let mut table = Table::default();
    assert!(cache.grow(&mut table, 1));
    let rows = [Row { sequence: 0, position: 0, token: 0, logits: true }];
    let logits =
        model.forward(&rows, &[&table], &mut cache, &machine).expect("the first token exists");
    assert_eq!(logits[0].len(), model.architecture().vocabulary);
}
