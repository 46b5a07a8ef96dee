//! Cutting text into the pieces within which tokens are merged.
//!
//! Each rule is a published regular expression, written here as a scanner: no backtracking, one pass.

use serde::{Deserialize, Serialize};

use super::classes::{Kind, kind};

/// A model family's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitting {
    /// `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// Every digit on its own, then as GPT-2.
    Digits,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3,
    /// As Llama 3, with every digit on its own.
    Qwen2,
    /// Not at all.
    Whole,
}

impl Splitting {
    /// By llama.cpp's name for it.
    #[must_use]
    pub fn from_gguf(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" => Self::Gpt2,
            "smollm" => Self::Digits,
            "llama3" | "llama-v3" | "llama-bpe" => Self::Llama3,
            "qwen2" => Self::Qwen2,
            _ => return None,
        })
    }

    /// The pieces, which together are the text.
    pub fn pieces(self, text: &str) -> impl Iterator<Item = &str> {
        let mut rest = text;
        // What lies before the next digit: the rule must not look beyond, nor search for it again and again.
        let mut before_digit = 0;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let length = match self {
                Self::Gpt2 => gpt2(rest),
                Self::Digits if kind(first) == Kind::Number => first.len_utf8(),
                Self::Digits => {
                    if before_digit == 0 {
                        before_digit = run(rest, |c| kind(c) != Kind::Number);
                    }
                    let length = gpt2(&rest[..before_digit]);
                    before_digit -= length;
                    length
                }
                Self::Llama3 => llama3(rest, 3),
                Self::Qwen2 => llama3(rest, 1),
                Self::Whole => rest.len(),
            };
            let (piece, after) = rest.split_at(length);
            rest = after;
            Some(piece)
        })
    }
}

/// The length of the run of characters at the beginning for which `of` holds.
fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.char_indices().find(|(_, c)| !of(*c)).map_or(text.len(), |(at, _)| at)
}

/// `\s+(?!\S)|\s+` at white space.
fn spaces(text: &str) -> usize {
    let length = run(text, |c| kind(c) == Kind::Space);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length == text.len() || length == last { length } else { length - last }
}

/// An s as it was written within words.
const LONG_S: char = '\u{17f}';

fn contraction(text: &str, fold: bool) -> Option<usize> {
    let after = text.strip_prefix('\'')?;
    // The only other letter that is one of these to an expression that knows no capitals.
    if fold && after.starts_with(LONG_S) {
        return Some(1 + LONG_S.len_utf8());
    }
    let same = |ending: &&&str| {
        after.get(..ending.len()).is_some_and(|part| {
            if fold { part.eq_ignore_ascii_case(ending) } else { part == **ending }
        })
    };
    let found = ["s", "t", "m", "d", "re", "ve", "ll"].iter().find(same)?;
    Some(1 + found.len())
}

fn gpt2(text: &str) -> usize {
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let after = text.strip_prefix(' ').unwrap_or(text);
    let space = text.len() - after.len();
    match after.chars().next().map(kind) {
        None | Some(Kind::Space) => spaces(text),
        Some(class) => space + run(after, |c| kind(c) == class),
    }
}

fn llama3(text: &str, digits: usize) -> usize {
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let mut characters = text.chars();
    let first = characters.next().unwrap_or_default();
    let class = kind(first);
    let line_end = |c: char| c == '\r' || c == '\n';
    if class == Kind::Letter {
        return run(text, |c| kind(c) == Kind::Letter);
    }
    if class != Kind::Number
        && !line_end(first)
        && characters.next().is_some_and(|c| kind(c) == Kind::Letter)
    {
        let lead = first.len_utf8();
        return lead + run(&text[lead..], |c| kind(c) == Kind::Letter);
    }
    if class == Kind::Number {
        return text
            .chars()
            .take(digits)
            .take_while(|c| kind(*c) == Kind::Number)
            .map(char::len_utf8)
            .sum();
    }
    let after = text.strip_prefix(' ').unwrap_or(text);
    if after.chars().next().is_some_and(|c| kind(c) == Kind::Other) {
        let marks = run(after, |c| kind(c) == Kind::Other);
        let ends = run(&after[marks..], line_end);
        return text.len() - after.len() + marks + ends;
    }
    let white = run(text, |c| kind(c) == Kind::Space);
    match text[..white].rfind(line_end) {
        Some(at) => at + 1,
        None => spaces(text),
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(splitting: Splitting, text: &str) -> Vec<&str> {
        splitting.pieces(text).collect()
    }

    #[test]
    fn gpt2_cuts_as_its_expression() {
        assert_eq!(
            pieces(Splitting::Gpt2, "It's  a test,\n\n don't 'x' 123  "),
            [
                "It", "'s", " ", " a", " test", ",", "\n\n", " don", "'t", " '", "x", "'", " 123",
                "  "
            ]
        );
        assert_eq!(
            pieces(Splitting::Digits, "in 1984,  7 "),
            ["in", " ", "1", "9", "8", "4", ",", "  ", "7", " "]
        );
    }

    #[test]
    fn llama3_cuts_as_its_expression() {
        assert_eq!(
            pieces(Splitting::Llama3, "I'LL (see) 12345!\n\n  x\t\n y"),
            ["I", "'LL", " (", "see", ")", " ", "123", "45", "!\n\n", " ", " x", "\t\n", " y"]
        );
        assert_eq!(pieces(Splitting::Qwen2, "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(pieces(Splitting::Llama3, "I'\u{17f}x"), ["I", "'\u{17f}", "x"]);
        assert_eq!(pieces(Splitting::Gpt2, "I'\u{17f}x"), ["I", "'", "\u{17f}x"]);
    }

    proptest! {
        #[test]
        fn pieces_are_the_text(text in "(\\PC|[ \n\r\t'sl0-9])*") {
            for splitting in [Splitting::Gpt2, Splitting::Digits, Splitting::Llama3, Splitting::Qwen2] {
                let all = pieces(splitting, &text);
                prop_assert!(all.iter().all(|piece| !piece.is_empty()));
                prop_assert_eq!(all.concat(), text.clone());
            }
        }
    }
}
