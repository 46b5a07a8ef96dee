//! What a model blob says about its tokens.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Splitting;
use crate::blob::{Blob, LONGEST_HEADER};
use crate::{Error, Result};

/// A tokenizer's data, as the section `vocabulary` of a blob holds it (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// How text is cut before merging.
    pub splitting: Splitting,
    /// Every token's text: of special ones as it is, of the others with each byte as GPT-2's stand-in
    /// character.
    pub tokens: Vec<String>,
    /// Pairs of tokens that merge, the first first.
    pub merges: Vec<[u32; 2]>,
    /// Tokens that stand for themselves.
    pub special: Vec<u32>,
    /// Whether a whole piece that is a token is taken without merging.
    pub whole_pieces: bool,
    /// The token that begins every sequence.
    pub first: Option<u32>,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// The chat template (Jinja).
    pub chat_template: Option<String>,
}

impl Vocabulary {
    /// Reads it from a blob.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open(blob: &Blob) -> Result<Self> {
        let bytes = blob.bytes("vocabulary")?;
        if bytes.len() > 4 * LONGEST_HEADER {
            return Err(Error::damaged(format!("a vocabulary of {} bytes", bytes.len())));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(format!("vocabulary: {error}")))
    }

    /// How many tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The bytes of every token.
    pub(super) fn token_bytes(&self) -> Result<Vec<Box<[u8]>>> {
        let special: HashSet<u32> = self.special.iter().copied().collect();
        let bytes: HashMap<char, u8> = (0..=255).map(|byte| (stand_in(byte), byte)).collect();
        (0u32..)
            .zip(&self.tokens)
            .map(|(token, text)| {
                if special.contains(&token) {
                    return Ok(text.as_bytes().into());
                }
                text.chars()
                    .map(|c| bytes.get(&c).copied())
                    .collect::<Option<Box<[u8]>>>()
                    .ok_or_else(|| Error::damaged(format!("the token {token} stands for no bytes")))
            })
            .collect()
    }

    /// From the lists in a GGUF file.
    pub(crate) fn from_gguf(
        tokens: &[&str],
        merges: &[&str],
        types: &[i64],
        splitting: &str,
        first: Option<u32>,
        end: Option<u32>,
        chat_template: Option<String>,
    ) -> Result<Self> {
        let splitting = Splitting::from_gguf(splitting).ok_or_else(|| {
            Error::unsupported(format!("a tokenizer that cuts text as {splitting}"))
        })?;
        let ids: HashMap<&str, u32> = tokens.iter().copied().zip(0..).collect();
        let pairs = merges.iter().map(|merge| merge.split_once(' '));
        // Control tokens are 3, user-defined ones 4.
        let special: Vec<u32> = (0u32..)
            .zip(types)
            .filter(|(_, kind)| matches!(kind, 3 | 4))
            .map(|(id, _)| id)
            .collect();
        let mut ends: Vec<u32> = end.into_iter().collect();
        ends.extend(
            special.iter().copied().filter(|id| is_end(tokens.get(*id as usize).unwrap_or(&""))),
        );
        ends.dedup();
        Ok(Self {
            splitting,
            tokens: tokens.iter().map(|&text| text.to_owned()).collect(),
            merges: merge_ids(&ids, pairs)?,
            special,
            whole_pieces: splitting == Splitting::Llama3,
            first,
            ends,
            chat_template,
        })
    }

    /// From a `tokenizer.json` of Hugging Face's `tokenizers`.
    ///
    /// # Errors
    /// When it is damaged or of a kind that is not supported.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > 4 * LONGEST_HEADER {
            return Err(Error::damaged(format!("a tokenizer.json of {} bytes", bytes.len())));
        }
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(format!("tokenizer.json: {error}")))?;
        let model = &json["model"];
        if model["type"] != "BPE" {
            return Err(Error::unsupported(format!("a tokenizer of the kind {}", model["type"])));
        }
        let vocabulary = model["vocab"]
            .as_object()
            .ok_or_else(|| Error::damaged("tokenizer.json has no vocab"))?;
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let named = vocabulary.iter().map(|(text, id)| (text.as_str(), id));
        let specials =
            added.iter().filter_map(|token| Some((token["content"].as_str()?, &token["id"])));
        for (text, id) in named.chain(specials.clone()) {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| Error::damaged(format!("the token {text} has no id")))?;
            ids.insert(text, id);
        }
        let mut tokens = vec![String::new(); ids.len()];
        for (text, id) in &ids {
            let slot = tokens.get_mut(*id as usize);
            let slot =
                slot.ok_or_else(|| Error::damaged(format!("token ids have gaps below {id}")))?;
            (*text).clone_into(slot);
        }
        let merges = model["merges"].as_array().map_or(&[][..], Vec::as_slice);
        let pairs = merges.iter().map(|merge| match merge {
            Value::String(merge) => merge.split_once(' '),
            Value::Array(pair) => Some((pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
            _ => None,
        });
        let special: Vec<u32> = specials.map(|(text, _)| ids[text]).collect();
        let ends = special.iter().copied().filter(|id| is_end(&tokens[*id as usize])).collect();
        Ok(Self {
            splitting: splitting(&json["pre_tokenizer"])?,
            merges: merge_ids(&ids, pairs)?,
            whole_pieces: model["ignore_merges"] == true,
            special,
            first: None,
            ends,
            chat_template: None,
            tokens,
        })
    }
}

/// Texts that end an answer, in the templates of the supported families.
fn is_end(text: &str) -> bool {
    matches!(
        text,
        "<|im_end|>"
            | "<|endoftext|>"
            | "<|eot_id|>"
            | "<|end_of_text|>"
            | "<end_of_turn>"
            | "<eos>"
            | "</s>"
    )
}

fn merge_ids<'a>(
    ids: &HashMap<&str, u32>,
    pairs: impl Iterator<Item = Option<(&'a str, &'a str)>>,
) -> Result<Vec<[u32; 2]>> {
    pairs
        .enumerate()
        .map(|(rank, pair)| {
            pair.and_then(|(left, right)| Some([*ids.get(left)?, *ids.get(right)?])).ok_or_else(
                || Error::damaged(format!("the merge {rank} names tokens that do not exist")),
            )
        })
        .collect()
}

/// The rule that a `tokenizer.json` asks for.
fn splitting(rule: &Value) -> Result<Splitting> {
    let parts = match rule["type"].as_str() {
        Some("Sequence") => rule["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice),
        _ => std::slice::from_ref(rule),
    };
    let kinds: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
    let regex = parts.iter().find_map(|part| part["pattern"]["Regex"].as_str());
    match (&kinds[..], regex) {
        (["ByteLevel"], _) => Ok(Splitting::Gpt2),
        (["Digits", "ByteLevel"], _) if parts[0]["individual_digits"] == true => {
            Ok(Splitting::Digits)
        }
        (["Split", "ByteLevel"], Some(regex)) if regex.contains(r"\p{N}{1,3}") => {
            Ok(Splitting::Llama3)
        }
        (["Split", "ByteLevel"], Some(regex)) if regex.contains(r"|\p{N}| ?") => {
            Ok(Splitting::Qwen2)
        }
        _ => Err(Error::unsupported(format!("a tokenizer that cuts text by {kinds:?}"))),
    }
}

/// The character that stands for a byte in GPT-2's vocabularies: itself where it prints, else one from
/// U+0100 on.
pub(crate) fn stand_in(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if prints(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|below| !prints(*below)).count();
    u32::try_from(rank)
        .ok()
        .and_then(|rank| char::from_u32(256 + rank))
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_gpt2_s() {
        assert_eq!(
            (stand_in(b' '), stand_in(b'\n'), stand_in(b'a'), stand_in(0), stand_in(173)),
            ('Ġ', 'Ċ', 'a', 'Ā', 'Ń')
        );
        assert_eq!((0..=255).map(stand_in).collect::<HashSet<_>>().len(), 256);
    }
}
