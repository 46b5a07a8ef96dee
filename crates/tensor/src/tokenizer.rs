//! Text to tokens and back: byte-level byte-pair encoding, or words in pieces, as the models' own tokenizers do
//! it.

mod classes;
mod form;
mod merge;
mod normal;
mod pieces;
mod published;
mod rules;
mod special;
mod split;
mod stream;
mod vocabulary;
mod words;

pub use form::{LONGER, NormalForm};
pub use normal::Normalising;
pub(crate) use pieces::Scored;
pub use pieces::ScoredPieces;
pub use split::Splitting;
pub use stream::Stream;
pub use vocabulary::Vocabulary;
pub(crate) use vocabulary::stand_in;
pub use words::WordPieces;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::{Error, Result};
use merge::Merges;
use pieces::Pieces;
use special::Special;
use words::Words;

/// The longest text that is encoded at once, in bytes.
pub const LONGEST_TEXT: usize = 8 << 20;

/// Stands before text that looks like a special token and is none. No character of Unicode.
const GUARD: char = '\u{10ffff}';

/// A tokenizer, ready to run.
#[derive(Debug)]
pub struct Tokenizer {
    method: Method,
    /// The bytes of each token.
    bytes: Vec<Box<[u8]>>,
    /// Tokens that stand for themselves.
    special: Special,
    /// Those that steer.
    is_special: Vec<bool>,
    first: Option<u32>,
    ends: Vec<u32>,
}

/// How text that is not special becomes tokens.
#[derive(Debug)]
enum Method {
    /// Bytes that merge within pieces.
    Merges {
        form: Option<NormalForm>,
        splitting: Splitting,
        merges: Box<Merges>,
        /// Whole pieces that are tokens are taken as they are.
        whole: Option<HashMap<Box<[u8]>, u32>>,
    },
    /// Words in pieces.
    Words(Words),
    /// Pieces over whole texts.
    Pieces(Box<Pieces>),
}

impl Tokenizer {
    /// From a model's vocabulary.
    ///
    /// # Errors
    /// When a token stands for no bytes, or a merge names tokens that do not exist.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        vocabulary.check()?;
        let bytes = vocabulary.token_bytes()?;
        let mut is_special = vec![false; bytes.len()];
        for token in &vocabulary.special {
            if let Some(slot) = is_special.get_mut(*token as usize) {
                *slot = true;
            }
        }
        let method = match &vocabulary.word_pieces {
            Some(rule) => Method::Words(Words::new(vocabulary, rule, &is_special)),
            None => merging(vocabulary, &bytes, &is_special)?,
        };
        let special = Special::new(vocabulary)?;
        for token in &vocabulary.shown {
            is_special[*token as usize] = false;
        }
        Ok(Self {
            method,
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
        self.special.token(text)
    }

    /// What a user wrote, marked so that [`encode_template`](Self::encode_template) sees no tokens that steer
    /// in it. Gives the tokens of the text as it was.
    #[must_use]
    pub fn guard(&self, text: &str) -> String {
        let mut guarded = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            if self.special.at(text, at).is_some_and(|(_, token)| self.is_special(token)) {
                guarded.push(GUARD);
            }
            guarded.push(if c == GUARD { char::REPLACEMENT_CHARACTER } else { c });
        }
        guarded
    }

    /// The tokens of a text in which special tokens are recognised: for templates, never for what a user
    /// wrote, unless it was [guarded](Self::guard).
    ///
    /// # Errors
    /// When the text is too long.
    pub fn encode_template(&self, text: &str) -> Result<Vec<u32>> {
        bounded(text)?;
        let mut tokens = vec![];
        let mut plain = String::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            if c == GUARD {
                // The character behind it is text, whatever it begins.
                at += c.len_utf8();
                let Some(next) = text[at..].chars().next() else { break };
                plain.push(next);
                at += next.len_utf8();
            } else if let Some((length, token)) = self.special.at(text, at) {
                self.plain(&plain, &mut tokens);
                plain.clear();
                tokens.push(token);
                at += length;
            } else {
                plain.push(c);
                at += c.len_utf8();
            }
        }
        self.plain(&plain, &mut tokens);
        Ok(tokens)
    }

    /// The tokens of plain text. What looks like a special token that steers is text like any other.
    ///
    /// # Errors
    /// When the text is too long.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        bounded(text)?;
        let mut tokens = vec![];
        self.plain(text, &mut tokens);
        Ok(tokens)
    }

    /// The whole input of an encoder: the tokens of plain text with those that begin and end every input.
    ///
    /// # Errors
    /// When the text is too long.
    pub fn encode_input(&self, text: &str) -> Result<Vec<u32>> {
        bounded(text)?;
        let mut tokens: Vec<u32> = self.first.into_iter().collect();
        self.plain(text, &mut tokens);
        if let Method::Words(words) = &self.method {
            tokens.extend(words.last());
        }
        Ok(tokens)
    }

    fn plain(&self, text: &str, tokens: &mut Vec<u32>) {
        match &self.method {
            Method::Words(words) => words.apply(text, tokens),
            Method::Pieces(pieces) => self.defined(text, pieces, tokens),
            Method::Merges { form, splitting, merges, whole } => {
                let text = form.map_or(Cow::Borrowed(text), |form| form.apply(text));
                for piece in splitting.pieces(&text) {
                    match whole.as_ref().and_then(|whole| whole.get(piece.as_bytes())) {
                        Some(token) => tokens.push(*token),
                        None => merges.apply(piece.as_bytes(), tokens),
                    }
                }
            }
        }
    }

    /// Pieces of a text, those first that the vocabulary defines outright: special tokens that do not steer.
    fn defined(&self, text: &str, pieces: &Pieces, tokens: &mut Vec<u32>) {
        let mut plain = 0;
        let mut at = 0;
        while at < text.len() {
            match self.special.of(text, at, |token| !self.is_special(token)) {
                Some((length, token)) => {
                    pieces.apply(&text[plain..at], tokens);
                    tokens.push(token);
                    at += length;
                    plain = at;
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        pieces.apply(&text[plain..], tokens);
    }

    /// The bytes of a token; of a special one, its text. Unknown tokens have none.
    #[must_use]
    pub fn token(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// Whether a token steers and is not part of what an answer says.
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
        // Of words in pieces each brings its space along.
        match (&self.method, text.strip_prefix(' ')) {
            (Method::Words(_), Some(rest)) => rest.to_owned(),
            _ => text,
        }
    }
}

fn merging(vocabulary: &Vocabulary, bytes: &[Box<[u8]>], is_special: &[bool]) -> Result<Method> {
    let mut by_bytes: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(bytes.len());
    // Tokens that stand for single bytes merge with nothing.
    let mut merges_not = is_special.to_vec();
    for token in vocabulary.scored_pieces.iter().flat_map(|rule| &rule.bytes) {
        merges_not[*token as usize] = true;
    }
    for (token, text) in (0u32..).zip(bytes) {
        if !merges_not[token as usize] {
            by_bytes.entry(text.clone()).or_insert(token);
        }
    }
    let equals = vocabulary.scored_pieces.is_some();
    let merges = Box::new(Merges::new(&by_bytes, bytes, &vocabulary.merges, equals)?);
    if let Some(rule) = &vocabulary.scored_pieces {
        return Ok(Method::Pieces(Box::new(Pieces::new(rule, *merges, &by_bytes))));
    }
    let whole = vocabulary.whole_pieces.then_some(by_bytes);
    let Vocabulary { form, splitting, .. } = *vocabulary;
    Ok(Method::Merges { form, splitting, merges, whole })
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
