//! What a model blob says about its tokens.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Splitting;
use super::form::NormalForm;
use super::pieces::ScoredPieces;
use super::words::WordPieces;
use crate::blob::{Blob, LARGEST_VOCABULARY, LONGEST_HEADER};
use crate::chat::LONGEST_TEMPLATE;
use crate::{Error, Result};

/// The most merges: four times what the largest published vocabularies have per token.
pub(super) const MOST_MERGES: usize = 4 * LARGEST_VOCABULARY;
/// The most special tokens; Gemma 3 has 6,415.
const MOST_SPECIAL: usize = 1 << 14;
/// The most tokens that end an answer.
const MOST_ENDS: usize = 64;
/// The longest text of a token, in bytes. Published ones have up to a few hundred spaces.
const LONGEST_TOKEN: usize = 4096;
/// The longest text of a special token, in bytes; published ones stay below a hundred. Where one may begin, as many beginnings
/// of a text are looked up as there are lengths, so the work for each of its bytes grows with the square.
const LONGEST_SPECIAL: usize = 128;

/// A tokenizer's data, as the section `vocabulary` of a blob holds it (JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// What text is brought to before it is cut, if it is not taken as it is; only where bytes merge within pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<NormalForm>,
    /// How text is cut before merging.
    pub splitting: Splitting,
    /// Every token's text: of special ones as it is, of the others with each byte as GPT-2's stand-in
    /// character.
    pub tokens: Vec<String>,
    /// Pairs of tokens that merge, the first first.
    pub merges: Vec<[u32; 2]>,
    /// Tokens that stand for themselves.
    pub special: Vec<u32>,
    /// Those of them that belong to what an answer says, like `<think>`; the others steer and are not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<u32>,
    /// Whether a whole piece that is a token is taken without merging.
    pub whole_pieces: bool,
    /// The token that begins every sequence.
    pub first: Option<u32>,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// The chat template (Jinja).
    pub chat_template: Option<String>,
    /// How words are cut into tokens, where tokens are not merged from bytes. Then tokens are texts as they are,
    /// and nothing merges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_pieces: Option<WordPieces>,
    /// What else there is to say where tokens are pieces that merge over whole texts. Then, too, tokens are texts
    /// as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scored_pieces: Option<ScoredPieces>,
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
        let vocabulary: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(format!("vocabulary: {error}")))?;
        vocabulary.check()?;
        Ok(vocabulary)
    }

    /// Checks sizes and that every token that is named exists.
    pub(crate) fn check(&self) -> Result<()> {
        let longest = self.tokens.iter().map(String::len).max().unwrap_or_default();
        let special = self.special.iter().filter_map(|token| self.tokens.get(*token as usize));
        let longest_special = special.map(String::len).max().unwrap_or_default();
        let template = self.chat_template.as_ref().map_or(0, String::len);
        let sizes = [
            ("tokens", self.tokens.len(), LARGEST_VOCABULARY),
            ("merges", self.merges.len(), MOST_MERGES),
            ("special tokens", self.special.len(), MOST_SPECIAL),
            ("shown special tokens", self.shown.len(), MOST_SPECIAL),
            ("ends", self.ends.len(), MOST_ENDS),
            ("bytes in a token", longest, LONGEST_TOKEN),
            ("bytes in a special token", longest_special, LONGEST_SPECIAL),
            ("bytes in the chat template", template, LONGEST_TEMPLATE),
        ];
        if let Some((what, size, most)) = sizes.into_iter().find(|(_, size, most)| size > most) {
            return Err(Error::unsupported(format!("{size} {what}, at most {most}")));
        }
        if self.word_pieces.is_some() && self.scored_pieces.is_some() {
            return Err(Error::damaged("a tokenizer of two kinds"));
        }
        if self.form.is_some() && (self.word_pieces.is_some() || self.scored_pieces.is_some()) {
            return Err(Error::damaged("a normal form for a tokenizer that knows none"));
        }
        if let Some(rule) = &self.word_pieces {
            rule.check(self.tokens.len())?;
        }
        if let Some(rule) = &self.scored_pieces {
            rule.check(self.tokens.len())?;
        }
        let named = self.special.iter().chain(&self.shown).chain(&self.ends).chain(&self.first);
        match named.into_iter().find(|token| **token as usize >= self.tokens.len()) {
            None => Ok(()),
            Some(token) => Err(Error::damaged(format!("the token {token} does not exist"))),
        }
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
        if let Some(rule) = &self.scored_pieces {
            let mut texts: Vec<Box<[u8]>> =
                self.tokens.iter().map(|text| text.as_bytes().into()).collect();
            for (byte, token) in (0u8..=255).zip(&rule.bytes) {
                texts[*token as usize] = [byte].into();
            }
            return Ok(texts);
        }
        let special: HashSet<u32> = self.special.iter().copied().collect();
        let bytes: HashMap<char, u8> = (0..=255).map(|byte| (stand_in(byte), byte)).collect();
        (0u32..)
            .zip(&self.tokens)
            .map(|(token, text)| {
                if let Some(rule) = self.word_pieces.as_ref().filter(|_| !special.contains(&token))
                {
                    let word = || format!(" {text}").into_bytes().into();
                    return Ok(text
                        .strip_prefix(&rule.mark)
                        .map_or_else(word, |rest| rest.as_bytes().into()));
                }
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
        let of = |kinds: &[i64]| -> Vec<u32> {
            (0u32..).zip(types).filter(|(_, kind)| kinds.contains(kind)).map(|(id, _)| id).collect()
        };
        let (special, shown) = (of(&[3, 4]), of(&[4]));
        let mut ends: Vec<u32> = end.into_iter().collect();
        ends.extend(
            special.iter().copied().filter(|id| is_end(tokens.get(*id as usize).unwrap_or(&""))),
        );
        ends.dedup();
        Ok(Self {
            // Such files do not say. llama.cpp takes text as it is, but the models were made with NFC, as their
            // publisher's own tokenizer does it.
            form: (splitting == Splitting::Qwen2).then_some(NormalForm::Nfc),
            splitting,
            tokens: tokens.iter().map(|&text| text.to_owned()).collect(),
            merges: merge_ids(&ids, pairs)?,
            special,
            shown,
            whole_pieces: splitting == Splitting::Llama3,
            first,
            ends,
            chat_template,
            word_pieces: None,
            scored_pieces: None,
        })
    }
}

/// Texts that end an answer, in the templates of the supported families.
pub(super) fn is_end(text: &str) -> bool {
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

pub(super) fn merge_ids<'a>(
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
