//! The small JSON files beside weights: all that they say is known, or it is refused.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The longest such file that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// What Hugging Face's library writes into every `config.json` and what changes no result: names, versions, how a
/// model was trained, which tokens the tokenizer has.
const PASSED_OVER: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "cache_implementation",
    "classifier_dropout",
    "dtype",
    "eos_token_id",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "max_length",
    "pad_token_id",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    "vocab_size",
];

/// Reads a small JSON file.
///
/// # Errors
/// When it is large, or not what is wanted.
pub(super) fn read<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T> {
    if bytes.len() > LONGEST {
        return Err(Error::damaged(format!("a {name} of {} bytes", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|error| Error::damaged(format!("{name}: {error}")))
}

/// Refuses a file that says something beyond `known`, unless that is nothing, or a switch that
/// is off: what is not there does nothing.
///
/// # Errors
/// Naming the first such key.
pub(super) fn keys(name: &str, bytes: &[u8], known: &[&str]) -> Result<()> {
    let all: Map<String, Value> = read(name, bytes)?;
    let is_known = |key: &str| known.contains(&key) || PASSED_OVER.contains(&key);
    match all.iter().find(|(key, value)| !is_known(key) && !is_off(value)) {
        None => Ok(()),
        Some((key, value)) => {
            let value: String = value.to_string().chars().take(60).collect();
            Err(Error::unsupported(format!("{key} in {name}, which is {value}")))
        }
    }
}

fn is_off(value: &Value) -> bool {
    value.is_null() || *value == false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_named() {
        let check = |text: &str| keys("config.json", text.as_bytes(), &["layers"]);
        assert_eq!(check(r#"{"layers":3,"vocab_size":7,"use_adapter":false,"cap":null}"#), Ok(()));
        let detail = |text: &str| check(text).map_err(|error| error.detail);
        assert_eq!(
            detail(r#"{"layers":3,"cap":30.0}"#),
            Err("cap in config.json, which is 30.0".into())
        );
        assert!(detail(r#"{"use_adapter":true}"#).is_err() && detail("[]").is_err());
        assert!(detail(&format!(r#"{{"cap":"{}"}}"#, "x".repeat(999))).unwrap_err().len() < 100);
        assert!(detail(&" ".repeat(LONGEST + 1)).unwrap_err().contains("bytes"));
    }
}
