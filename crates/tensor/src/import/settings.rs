//! The small JSON files beside weights: all that they say is known, or it is refused.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value};
use serde::{Deserialize, forward_to_deserialize_any};
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

/// Refuses a file that says something beyond what is read of it and what is `known` to change nothing, unless that is
/// nothing, or a switch that is off: what is not there does nothing.
///
/// # Errors
/// Naming the first such key.
pub(super) fn keys(name: &str, bytes: &[u8], read_of_it: &[&str], known: &[&str]) -> Result<()> {
    let all: Map<String, Value> = read(name, bytes)?;
    let is_known = |key: &str| [read_of_it, known, PASSED_OVER].iter().any(|k| k.contains(&key));
    match all.iter().find(|(key, value)| !is_known(key) && !is_off(value)) {
        None => Ok(()),
        Some((key, value)) => {
            let value: String = value.to_string().chars().take(60).collect();
            Err(Error::unsupported(format!("{key} in {name}, which is {value}")))
        }
    }
}

/// The keys that a structure reads.
pub(super) fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // The structure tells its keys and is then given nothing, which is its error.
    let _ = T::deserialize(Asked(&mut found));
    found
}

/// Gives no values: it notes which keys it is asked for.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, value::Error> {
        *self.0 = fields;
        Err(value::Error::custom("only keys are asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, value::Error> {
        Err(value::Error::custom("this is no structure"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
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
        let check = |text: &str| keys("config.json", text.as_bytes(), &["layers"], &["bias"]);
        assert_eq!(check(r#"{"layers":3,"bias":1,"vocab_size":7,"off":false,"cap":null}"#), Ok(()));
        let detail = |text: &str| check(text).map_err(|error| error.detail);
        assert_eq!(
            detail(r#"{"layers":3,"cap":30.0}"#),
            Err("cap in config.json, which is 30.0".into())
        );
        assert!(detail(r#"{"use_adapter":true}"#).is_err() && detail("[]").is_err());
        assert!(detail(&format!(r#"{{"cap":"{}"}}"#, "x".repeat(999))).unwrap_err().len() < 100);
        assert!(detail(&" ".repeat(LONGEST + 1)).unwrap_err().contains("bytes"));
    }

    #[test]
    fn the_keys_of_a_structure_are_those_of_the_file() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only its keys matter")]
        struct Small {
            layers: usize,
            #[serde(default, rename = "_name_or_path")]
            name: String,
        }
        assert_eq!(fields::<Small>(), ["layers", "_name_or_path"]);
        assert!(fields::<usize>().is_empty());
    }
}
