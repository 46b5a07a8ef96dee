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

fn read(described: &serde_json::Value) -> Tokenizer {
    let described = described.to_string();
    let vocabulary = Vocabulary::from_tokenizer_json(described.as_bytes()).unwrap();
    Tokenizer::new(&vocabulary).unwrap()
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
        let tokenizer = read(&vectors.tokenizer);
        let mut count = 0;
        for (text, tokens) in &vectors.texts {
            assert_eq!(&tokenizer.encode(text).unwrap(), tokens, "{rule}: {text:?}");
            assert_eq!(&tokenizer.decode(tokens), text, "{rule}");
            count += tokens.len();
        }
        assert!(count > 30_000, "{rule}: {count}");
    }
}

/// Texts that are not in NFC, with what they are in it: letters and marks apart and out of order, Hangul in its parts,
/// characters that are written as others, or as several, and marks that the reference does not know yet.
#[test]
fn texts_are_composed_as_the_reference_does() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../vectors/tokens/qwen2.json")).unwrap();
    let tokenizer = read(&vectors.tokenizer);
    let texts: Vec<(String, String, Vec<u32>)> =
        serde_json::from_str(include_str!("../../../vectors/tokens/nfc.json")).unwrap();
    let (mut count, mut changed, mut longer) = (0, 0, 0);
    for (text, composed, tokens) in &texts {
        assert_eq!(&tokenizer.encode(text).unwrap(), tokens, "{text:?}");
        assert_eq!(&tokenizer.decode(tokens), composed, "{text:?}");
        assert_eq!(&tokenizer.encode(composed).unwrap(), tokens, "{text:?}");
        count += tokens.len();
        changed += usize::from(text != composed);
        longer += usize::from(composed.len() > text.len());
    }
    assert!(count > 30_000 && changed > 700 && longer > 100, "{count} {changed} {longer}");
}
