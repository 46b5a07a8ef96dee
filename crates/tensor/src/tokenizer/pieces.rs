//! Pieces that merge over a whole text by their scores, as SentencePiece does it: Gemma.
//!
//! A text begins as its characters; those that are no piece become bytes, each a token of its own. Of all pairs of
//! neighbours that make a piece the one with the best score merges first, among equals the leftmost. Pieces that
//! the vocabulary defines outright (line ends, runs of spaces, tags) are taken before anything merges.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::merge::Merges;
use super::vocabulary::{MOST_MERGES, Vocabulary, is_end};
use crate::{Error, Result};

/// How SentencePiece writes a space.
pub(super) const SPACE: char = '\u{2581}';
/// The longest piece whose parts are looked for, in bytes; Gemma's have 48. The work grows with the square.
const LONGEST_PIECE: usize = 128;

/// What a vocabulary of such pieces says beside its tokens, whose texts have spaces as spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredPieces {
    /// The tokens that stand for the bytes 0 to 255.
    pub bytes: Vec<u32>,
}

impl ScoredPieces {
    /// By the texts `<0x00>` to `<0xFF>`.
    pub(super) fn named(token: impl Fn(&str) -> Option<u32>) -> Result<Self> {
        let byte = |byte: u8| {
            let text = format!("<0x{byte:02X}>");
            token(&text).ok_or_else(|| Error::unsupported(format!("pieces without {text}")))
        };
        Ok(Self { bytes: (0..=255).map(byte).collect::<Result<_>>()? })
    }

    pub(super) fn check(&self, tokens: usize) -> Result<()> {
        if self.bytes.len() != 256 {
            return Err(Error::damaged(format!("{} tokens for 256 bytes", self.bytes.len())));
        }
        match self.bytes.iter().find(|token| **token as usize >= tokens) {
            None => Ok(()),
            Some(token) => Err(Error::damaged(format!("the token {token} does not exist"))),
        }
    }
}

/// Ready to run.
#[derive(Debug)]
pub(super) struct Pieces {
    merges: Merges,
    bytes: Vec<u32>,
    /// Tokens of one character.
    characters: HashMap<char, u32>,
}

impl Pieces {
    pub fn new(rule: &ScoredPieces, merges: Merges, by_bytes: &HashMap<Box<[u8]>, u32>) -> Self {
        let mut characters = HashMap::new();
        for (bytes, token) in by_bytes {
            let mut text = std::str::from_utf8(bytes).unwrap_or_default().chars();
            if let (Some(c), None) = (text.next(), text.next()) {
                characters.insert(c, *token);
            }
        }
        Self { merges, bytes: rule.bytes.clone(), characters }
    }

    /// Appends the tokens of a text in which nothing is defined outright.
    pub fn apply(&self, text: &str, tokens: &mut Vec<u32>) {
        let mut parts = Vec::with_capacity(text.len());
        for c in text.chars() {
            let c = if c == SPACE { ' ' } else { c };
            match self.characters.get(&c) {
                Some(token) => parts.push(*token),
                None => {
                    let mut room = [0; 4];
                    let bytes = c.encode_utf8(&mut room).bytes();
                    parts.extend(bytes.map(|byte| self.bytes[usize::from(byte)]));
                }
            }
        }
        self.merges.join(parts, tokens);
    }
}

/// The lists of a GGUF file that describe such a vocabulary.
pub(crate) struct Scored<'a> {
    pub tokens: &'a [&'a str],
    pub scores: &'a [f32],
    pub types: &'a [i64],
    pub first: Option<u32>,
    pub end: Option<u32>,
    pub chat_template: Option<String>,
}

impl Vocabulary {
    /// From the lists in a GGUF file.
    pub(crate) fn from_scored(file: Scored<'_>) -> Result<Self> {
        let count = file.tokens.len();
        if file.scores.len() != count || file.types.len() != count {
            return Err(Error::damaged(format!(
                "{count} tokens, {} scores, {} types",
                file.scores.len(),
                file.types.len()
            )));
        }
        let tokens: Vec<String> = file.tokens.iter().map(|text| text.replace(SPACE, " ")).collect();
        let numbered = || (0u32..).zip(file.types.iter().copied());
        // Control tokens are 3, user-defined ones 4, bytes 6; 1 is all others, and 2 and 5 are not used.
        let of = |wanted: &[i64]| -> Vec<u32> {
            numbered().filter(|(_, kind)| wanted.contains(kind)).map(|(id, _)| id).collect()
        };
        let bytes: HashMap<&str, u32> =
            of(&[6]).into_iter().map(|id| (file.tokens[id as usize], id)).collect();
        let bytes = ScoredPieces::named(|text| bytes.get(text).copied())?;
        let control = of(&[3]);
        let mut ends: Vec<u32> = file.end.into_iter().collect();
        // Among the defined ones `</s>` is a tag of struck text.
        ends.extend(control.iter().copied().filter(|id| is_end(&tokens[*id as usize])));
        ends.sort_unstable();
        ends.dedup();
        let plain = of(&[1]);
        let mut vocabulary = Self {
            form: None,
            splitting: super::Splitting::Whole,
            merges: vec![],
            special: of(&[3, 4]),
            shown: of(&[4]),
            whole_pieces: false,
            first: file.first,
            ends,
            chat_template: file.chat_template,
            word_pieces: None,
            scored_pieces: Some(bytes),
            tokens,
        };
        // Sizes are seen before the work that grows with them.
        vocabulary.check()?;
        vocabulary.merges = merges(&vocabulary.tokens, file.scores, &plain)?;
        Ok(vocabulary)
    }
}

/// Every way to make a piece of two others, the best pieces first.
fn merges(tokens: &[String], scores: &[f32], plain: &[u32]) -> Result<Vec<[u32; 2]>> {
    let ids: HashMap<&str, u32> =
        plain.iter().rev().map(|id| (tokens[*id as usize].as_str(), *id)).collect();
    let mut order = plain.to_vec();
    order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    let mut pairs = vec![];
    for id in order {
        let text = &tokens[id as usize];
        if text.len() > LONGEST_PIECE || pairs.len() > MOST_MERGES {
            return Err(Error::unsupported(format!(
                "a piece of {} bytes, or more than {MOST_MERGES} ways to make pieces",
                text.len()
            )));
        }
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(left), Some(right)) = (ids.get(left), ids.get(right)) {
                pairs.push([*left, *right]);
            }
        }
    }
    Ok(pairs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
mod tests {
    use super::super::Tokenizer;
    use super::*;

    /// Control tokens, bytes, one tag, then pieces, the best first.
    fn vocabulary(pieces: &[&str]) -> Vocabulary {
        let mut tokens: Vec<String> = vec!["<bos>".into(), "<end_of_turn>".into()];
        tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(["<s>".to_owned(), "\n\n".to_owned()]);
        let before = tokens.len();
        tokens.extend(pieces.iter().map(|piece| (*piece).to_owned()));
        let kind = |i: usize| match i {
            0 | 1 => 3,
            2..258 => 6,
            258 | 259 => 4,
            _ => 1,
        };
        let types: Vec<i64> = (0..tokens.len()).map(kind).collect();
        let score = |i: usize| if i < before { 0.0 } else { -((i - before) as f32) };
        let scores: Vec<f32> = (0..tokens.len()).map(score).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        Vocabulary::from_scored(Scored {
            tokens: &tokens,
            scores: &scores,
            types: &types,
            first: Some(0),
            end: None,
            chat_template: None,
        })
        .unwrap()
    }

    fn texts(pieces: &[&str], text: &str) -> Vec<String> {
        let vocabulary = vocabulary(pieces);
        vocabulary.check().unwrap();
        let tokenizer = Tokenizer::new(&vocabulary).unwrap();
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&tokens), text.replace(SPACE, " "));
        tokens.iter().map(|token| vocabulary.tokens[*token as usize].clone()).collect()
    }

    #[test]
    fn the_best_score_merges_first_and_the_leftmost_among_equals() {
        assert_eq!(texts(&["ab", "bc", "a", "b", "c"], "abc"), ["ab", "c"]);
        assert_eq!(texts(&["bc", "ab", "a", "b", "c"], "abc"), ["a", "bc"]);
        assert_eq!(texts(&["aa", "a"], "aaa"), ["aa", "a"]);
        // Both pairs merge before what is worse than they are.
        assert_eq!(texts(&["xy", "yx", "xyx", "x", "y"], "xyxyx"), ["xy", "xyx"]);
        assert_eq!(texts(&["xyx", "xy", "yx", "x", "y"], "xyxyx"), ["xyx", "yx"]);
    }

    #[test]
    fn spaces_bytes_and_defined_pieces() {
        let pieces = ["▁t", "he", "▁the", "t", "h", "e", "▁"];
        assert_eq!(texts(&pieces, "the the"), ["t", "he", " the"]);
        assert_eq!(texts(&pieces, "the▁the"), ["t", "he", " the"]);
        assert_eq!(texts(&pieces, "é"), ["<0xC3>", "<0xA9>"]);
        assert_eq!(texts(&pieces, "t<s>h\n\n\n"), ["t", "<s>", "h", "\n\n", "<0x0A>"]);
        // Control tokens are not written by users.
        assert!(!texts(&pieces, "<bos>").contains(&"<bos>".to_owned()));
        assert_eq!(vocabulary(&pieces).ends, [1]);
    }
}
