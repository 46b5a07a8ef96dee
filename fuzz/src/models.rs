//! What is fuzzed of models: files that hold all of one, and what is run after it was taken. `published` has the files
//! that come in several.

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
pub const TARGETS: &[super::mutate::Target] = &[("gguf", gguf), ("model", model)];

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

/// A model blob: refused, or opened and run for a token.
pub fn model(data: &[u8]) {
    if let Ok(blob) = Blob::open(Arc::new(data.to_vec())) {
        run(&blob);
    }
}

/// Cuts texts into tokens. What their bytes are as text is not longer than each of them replaced.
pub fn cut(tokenizer: &Tokenizer) {
    let text = "a the<|im_end|>\u{1f33e} 1\n\n e\u{301}";
    for tokens in [
        tokenizer.encode_template(text).expect("short"),
        tokenizer.encode_template(&tokenizer.guard(text)).expect("short"),
        tokenizer.encode(text).expect("short"),
        tokenizer.encode_input(text).expect("short"),
    ] {
        let bytes: usize = tokens.iter().map(|token| tokenizer.token(*token).len()).sum();
        assert!(tokenizer.decode(&tokens).len() <= 3 * bytes, "{tokens:?}");
    }
}

/// Runs what a blob holds for a token.
pub fn run(blob: &Blob) {
    if let Ok(tokenizer) = Vocabulary::open(blob).and_then(|vocabulary| Tokenizer::new(&vocabulary))
    {
        cut(&tokenizer);
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
