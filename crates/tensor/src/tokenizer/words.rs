//! Words in pieces: of each word the longest beginning that is a token, then of the rest. Encoders of the BERT
//! kind.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::classes::is_punctuation;
use super::normal::Normalising;
use super::vocabulary::Vocabulary;
use crate::{Error, Result};

/// The longest word that a vocabulary may ask for, in characters; published ones have 100. The work on a word
/// grows with the square.
const LONGEST_WORD: usize = 1024;
/// The longest mark before tokens that continue a word, in bytes.
const LONGEST_MARK: usize = 16;

/// How words become tokens, as a vocabulary says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordPieces {
    /// What is done to text first.
    pub normalising: Normalising,
    /// Stands before tokens that continue a word: `##`.
    pub mark: String,
    /// The token for a word of which some part is no token.
    pub unknown: u32,
    /// Longer words are unknown; in characters.
    pub longest: usize,
    /// The token that is put after an encoder's input.
    pub last: Option<u32>,
}

impl WordPieces {
    pub(super) fn check(&self, tokens: usize) -> Result<()> {
        if self.longest > LONGEST_WORD || self.mark.is_empty() || self.mark.len() > LONGEST_MARK {
            return Err(Error::unsupported(format!(
                "words of {} characters with the mark {:?}",
                self.longest, self.mark
            )));
        }
        match [Some(self.unknown), self.last].into_iter().flatten().find(|t| *t as usize >= tokens)
        {
            None => Ok(()),
            Some(token) => Err(Error::damaged(format!("the token {token} does not exist"))),
        }
    }
}

/// Ready to run.
#[derive(Debug)]
pub(super) struct Words {
    rule: WordPieces,
    /// Tokens that begin a word.
    begin: HashMap<Box<str>, u32>,
    /// Tokens that continue one, without their mark.
    inside: HashMap<Box<str>, u32>,
}

impl Words {
    pub fn new(vocabulary: &Vocabulary, rule: &WordPieces, is_special: &[bool]) -> Self {
        let (mut begin, mut inside) = (HashMap::new(), HashMap::new());
        for (token, text) in (0u32..).zip(&vocabulary.tokens) {
            if is_special[token as usize] {
                continue;
            }
            if let Some(rest) = text.strip_prefix(&rule.mark) {
                inside.entry(rest.into()).or_insert(token);
            }
            begin.entry(text.as_str().into()).or_insert(token);
        }
        Self { rule: rule.clone(), begin, inside }
    }

    /// The token after an encoder's input.
    pub fn last(&self) -> Option<u32> {
        self.rule.last
    }

    /// Appends the tokens of a text.
    pub fn apply(&self, text: &str, tokens: &mut Vec<u32>) {
        let normal = self.rule.normalising.apply(text);
        let mut word = 0;
        for (at, c) in normal.char_indices() {
            let end = at + c.len_utf8();
            if c.is_whitespace() || is_punctuation(c) {
                self.word(&normal[word..at], tokens);
                if !c.is_whitespace() {
                    self.word(&normal[at..end], tokens);
                }
                word = end;
            }
        }
        self.word(&normal[word..], tokens);
    }

    fn word(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut rest = word;
        if word.chars().nth(self.rule.longest).is_some() {
            tokens.push(self.rule.unknown);
            return;
        }
        while !rest.is_empty() {
            let known = if rest.len() == word.len() { &self.begin } else { &self.inside };
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
            let found = ends.rev().find_map(|end| Some((end, *known.get(&rest[..end])?)));
            let Some((end, token)) = found else {
                tokens.truncate(before);
                tokens.push(self.rule.unknown);
                return;
            };
            tokens.push(token);
            rest = &rest[end..];
        }
    }
}
