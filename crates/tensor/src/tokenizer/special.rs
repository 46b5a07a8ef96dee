//! Texts that are tokens as they stand.

use std::collections::HashMap;

use super::Vocabulary;
use crate::{Error, Result};

/// A vocabulary's special tokens. Gemma has thousands that begin alike, so that texts are looked up, not tried.
#[derive(Debug, Default)]
pub(super) struct Special {
    /// By their first byte the lengths that there are, the longest first.
    lengths: HashMap<u8, Vec<usize>>,
    tokens: HashMap<Box<[u8]>, u32>,
}

impl Special {
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let mut special = Self::default();
        for token in &vocabulary.special {
            let text = vocabulary.tokens.get(*token as usize).map_or(&[][..], String::as_bytes);
            let Some(first) = text.first() else {
                return Err(Error::damaged(format!("the special token {token} has no text")));
            };
            special.lengths.entry(*first).or_default().push(text.len());
            // Of equal texts the lowest number counts.
            let known = special.tokens.entry(text.into()).or_insert(*token);
            *known = (*known).min(*token);
        }
        for lengths in special.lengths.values_mut() {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        Ok(special)
    }

    /// The token of a whole text.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.tokens.get(text.as_bytes()).copied()
    }

    /// The longest at a place of a text: its length in bytes, and its number.
    pub fn at(&self, text: &str, at: usize) -> Option<(usize, u32)> {
        self.of(text, at, |_| true)
    }

    /// The longest of those that are `wanted`.
    pub fn of(&self, text: &str, at: usize, wanted: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let rest = text.as_bytes().get(at..)?;
        let lengths = self.lengths.get(rest.first()?)?;
        lengths.iter().find_map(|length| {
            let token = *self.tokens.get(rest.get(..*length)?)?;
            wanted(token).then_some((*length, token))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
mod tests {
    use super::super::Splitting;
    use super::*;

    #[test]
    fn the_longest_counts_and_of_equals_the_first() {
        let special = |texts: &[&str]| {
            Special::new(&Vocabulary {
                form: None,
                splitting: Splitting::Whole,
                tokens: texts.iter().map(|text| (*text).to_owned()).collect(),
                merges: vec![],
                special: (0..u32::try_from(texts.len()).unwrap()).rev().collect(),
                shown: vec![],
                whole_pieces: false,
                first: None,
                ends: vec![],
                chat_template: None,
                word_pieces: None,
                scored_pieces: None,
            })
        };
        let known = special(&["<a>", "<a>b", "é", "<a>", "<"]).unwrap();
        assert_eq!(known.at("x<a>bc", 1), Some((4, 1)));
        assert_eq!(known.at("<a>", 0), Some((3, 0)));
        assert_eq!(known.at("<a", 0), Some((1, 4)));
        assert_eq!(
            (known.at("é", 0), known.at("è", 0), known.at("x", 1)),
            (Some((2, 2)), None, None)
        );
        assert_eq!(known.of("<a>bc", 0, |token| token != 1), Some((3, 0)));
        assert_eq!((known.token("<a>b"), known.token("<a>bc")), (Some(1), None));
        assert!(special(&["a", ""]).unwrap_err().detail.contains("token 1 has no text"));
    }
}
