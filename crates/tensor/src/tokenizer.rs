//! Text to tokens and back: byte-level byte-pair encoding, as the models' own tokenizers do it.

mod classes;
mod merge;
mod split;
mod vocabulary;

pub use split::Splitting;
pub use vocabulary::Vocabulary;
pub(crate) use vocabulary::stand_in;

use std::collections::HashMap;

use crate::{Error, Result};
use merge::Merges;

/// The longest text that is encoded at once, in bytes.
pub const LONGEST_TEXT: usize = 8 << 20;

/// A tokenizer, ready to run.
#[derive(Debug)]
pub struct Tokenizer {
    splitting: Splitting,
    merges: Merges,
    /// Whole pieces that are tokens are taken as they are.
    whole: Option<HashMap<Box<[u8]>, u32>>,
    /// The bytes of each token.
    bytes: Vec<Box<[u8]>>,
    /// Special tokens by their first byte, the longest first.
    special: HashMap<u8, Vec<(Box<str>, u32)>>,
    is_special: Vec<bool>,
    first: Option<u32>,
    ends: Vec<u32>,
}

impl Tokenizer {
    /// From a model's vocabulary.
    ///
    /// # Errors
    /// When a token stands for no bytes, or a merge names tokens that do not exist.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let bytes = vocabulary.token_bytes()?;
        let mut is_special = vec![false; bytes.len()];
        for token in &vocabulary.special {
            if let Some(slot) = is_special.get_mut(*token as usize) {
                *slot = true;
            }
        }
        let mut by_bytes: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(bytes.len());
        for (token, text) in (0u32..).zip(&bytes) {
            if !is_special[token as usize] {
                by_bytes.entry(text.clone()).or_insert(token);
            }
        }
        let merges = Merges::new(&by_bytes, &bytes, &vocabulary.merges)?;
        let mut special: HashMap<u8, Vec<(Box<str>, u32)>> = HashMap::new();
        for token in &vocabulary.special {
            let text = vocabulary.tokens.get(*token as usize).filter(|text| !text.is_empty());
            let text = text
                .ok_or_else(|| Error::damaged(format!("the special token {token} has no text")))?;
            special.entry(text.as_bytes()[0]).or_default().push((text.as_str().into(), *token));
        }
        for texts in special.values_mut() {
            texts.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.1.cmp(&b.1)));
        }
        Ok(Self {
            splitting: vocabulary.splitting,
            merges,
            whole: vocabulary.whole_pieces.then_some(by_bytes),
            bytes,
            special,
            is_special,
            first: vocabulary.first,
            ends: vocabulary.ends.clone(),
        })
    }

    /// The token that every sequence begins with, if the model wants one.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.first
    }

    /// The tokens that end an answer.
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The token of a special text, like `<|im_end|>`.
    #[must_use]
    pub fn special(&self, text: &str) -> Option<u32> {
        self.special
            .get(text.as_bytes().first()?)?
            .iter()
            .find(|(known, _)| &**known == text)
            .map(|(_, token)| *token)
    }

    /// The tokens of a text in which special tokens are recognised: for templates, never for what a user
    /// wrote.
    ///
    /// # Errors
    /// When the text is too long.
    pub fn encode_template(&self, text: &str) -> Result<Vec<u32>> {
        bounded(text)?;
        let mut tokens = vec![];
        let mut plain = 0;
        let mut at = 0;
        while at < text.len() {
            let found = self.special.get(&text.as_bytes()[at]).and_then(|texts| {
                texts.iter().find(|(known, _)| text.as_bytes()[at..].starts_with(known.as_bytes()))
            });
            if let Some((known, token)) = found {
                self.plain(&text[plain..at], &mut tokens);
                tokens.push(*token);
                at += known.len();
                plain = at;
            } else {
                at += 1;
            }
        }
        self.plain(&text[plain..], &mut tokens);
        Ok(tokens)
    }

    /// The tokens of plain text. What looks like a special token is text like any other.
    ///
    /// # Errors
    /// When the text is too long.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        bounded(text)?;
        let mut tokens = vec![];
        self.plain(text, &mut tokens);
        Ok(tokens)
    }

    fn plain(&self, text: &str, tokens: &mut Vec<u32>) {
        for piece in self.splitting.pieces(text) {
            match self.whole.as_ref().and_then(|whole| whole.get(piece.as_bytes())) {
                Some(token) => tokens.push(*token),
                None => self.merges.apply(piece.as_bytes(), tokens),
            }
        }
    }

    /// The bytes of a token; of a special one, its text. Unknown tokens have none.
    #[must_use]
    pub fn token(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// Whether a token is special.
    #[must_use]
    pub fn is_special(&self, token: u32) -> bool {
        self.is_special.get(token as usize).copied().unwrap_or(false)
    }

    /// The text of tokens, without the special ones. Bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut stream = Stream::default();
        let mut text = String::new();
        for token in tokens.iter().filter(|token| !self.is_special(**token)) {
            stream.push(self.token(*token), &mut text);
        }
        stream.end(&mut text);
        text
    }
}

fn bounded(text: &str) -> Result<()> {
    if text.len() > LONGEST_TEXT {
        return Err(Error::new(
            "the text is too long",
            format!("{} bytes, at most {LONGEST_TEXT}", text.len()),
            "Cut it into parts",
        ));
    }
    Ok(())
}

/// Bytes that come in pieces, as text: characters are handed on when they are whole.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    held: Vec<u8>,
}

impl Stream {
    /// Adds bytes; appends what has become whole characters to `text`.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut done = 0;
        for chunk in self.held.utf8_chunks() {
            text.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            // An incomplete character at the end waits for the rest.
            let incomplete = done + invalid.len() == self.held.len()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if !invalid.is_empty() && !incomplete {
                text.push('\u{fffd}');
            }
            if !incomplete {
                done += invalid.len();
            }
        }
        self.held.drain(..done);
    }

    /// Ends the text; a character that never became whole is U+FFFD.
    pub fn end(&mut self, text: &mut String) {
        if !self.held.is_empty() {
            text.push('\u{fffd}');
            self.held.clear();
        }
    }
}
