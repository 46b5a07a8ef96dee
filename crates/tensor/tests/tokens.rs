//! Tokens are those of Hugging Face's tokenizers (`vectors/tokens`, which `tokens.py` has written): each rule by which
//! byte-level pairs are cut, with merges, on texts of many scripts and of what rules differ in.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use serde::Deserialize;
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};

#[derive(Deserialize)]
struct Vectors {
    tokenizer: serde_json::Value,
    texts: Vec<(String, Vec<u32>)>,
}

#[test]
fn tokens_are_the_reference_s() {
    for (rule, vectors) in [
        ("gpt2", include_str!("../../../vectors/tokens/gpt2.json")),
        ("smollm", include_str!("../../../vectors/tokens/smollm.json")),
        ("llama3", include_str!("../../../vectors/tokens/llama3.json")),
        ("qwen2", include_str!("../../../vectors/tokens/qwen2.json")),
    ] {
        let vectors: Vectors = serde_json::from_str(vectors).unwrap();
        let described = vectors.tokenizer.to_string();
        let vocabulary = Vocabulary::from_tokenizer_json(described.as_bytes()).unwrap();
        let tokenizer = Tokenizer::new(&vocabulary).unwrap();
        let mut count = 0;
        for (text, tokens) in &vectors.texts {
            assert_eq!(&tokenizer.encode(text).unwrap(), tokens, "{rule}: {text:?}");
            assert_eq!(&tokenizer.decode(tokens), text, "{rule}");
            count += tokens.len();
        }
        assert!(count > 30_000, "{rule}: {count}");
    }
}
