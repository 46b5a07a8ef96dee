//! Unicode's normal forms, for tokenizers that bring a text to one before they cut it.
//!
//! Hugging Face's `tokenizers` does that by Unicode 9: marks and letters that came later stay what and where they
//! are. So does this, and thereby no newer table changes a token: of characters that there are already, Unicode
//! changes neither the order nor the parts.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

use super::classes::is_known;

/// How many times as long UTF-8 becomes at most, by the table of expansions in Unicode's annex 15: U+1D160 has no
/// composed form, so its 4 bytes become the 12 of its parts.
pub const LONGER: usize = 3;

/// What a text is brought to before it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalForm {
    /// NFC by Unicode 9: a letter with its accents is one character where there is such a one.
    Nfc,
}

impl NormalForm {
    /// The text in this form, at most [`LONGER`] times as many bytes. ASCII stays as it is.
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Nfc => compose(text),
        }
    }
}

fn compose(text: &str) -> Cow<'_, str> {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    // What is composed by a later Unicode is so by an earlier one, which only has less to join and to move.
    if text.is_ascii() || nfc.is_normalized(text) {
        return Cow::Borrowed(text);
    }
    let mut composed = String::with_capacity(text.len());
    let mut start = 0;
    for (at, later) in text.char_indices().filter(|(_, c)| !is_known(*c)) {
        // It joins with nothing, and no mark moves across it.
        composed.push_str(&nfc.normalize(&text[start..at]));
        composed.push(later);
        start = at + later.len_utf8();
    }
    composed.push_str(&nfc.normalize(&text[start..]));
    Cow::Owned(composed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nfc(text: &str) -> String {
        NormalForm::Nfc.apply(text).into_owned()
    }

    #[test]
    fn parts_are_joined_and_marks_put_in_order() {
        for (text, composed) in [
            ("plain <|im_end|>", "plain <|im_end|>"),
            ("e\u{301}te\u{301}", "\u{e9}t\u{e9}"),
            // Below before above, whatever comes first; then both join.
            ("a\u{302}\u{323}", "\u{1ead}"),
            ("a\u{323}\u{302}", "\u{1ead}"),
            // The horn takes its place before marks that were joined already.
            ("\u{1d5}\u{31b}", "\u{1af}\u{308}\u{304}"),
            // Hangul: two parts, three, and one that joins with a syllable.
            ("\u{1100}\u{1161}", "\u{ac00}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{ac00}\u{11a8}", "\u{ac01}"),
            ("\u{30ab}\u{3099}", "\u{30ac}"),
            ("\u{9c7}\u{9be}", "\u{9cb}"),
            // Signs that are others by another number.
            ("\u{212b} \u{212a} \u{2126} \u{37e}", "\u{c5} K \u{3a9} ;"),
            ("\u{f900}\u{2f800}", "\u{8c48}\u{4e3d}"),
            // Those that are left in parts.
            ("\u{958}", "\u{915}\u{93c}"),
            ("\u{fb2c}", "\u{5e9}\u{5bc}\u{5c1}"),
            ("\u{344}", "\u{308}\u{301}"),
            // What only looks alike stays: that would be NFKC.
            ("\u{fb01}\u{2460}\u{ff21}", "\u{fb01}\u{2460}\u{ff21}"),
        ] {
            assert_eq!(nfc(text), composed, "{text:?}");
            assert_eq!(nfc(composed), composed, "{text:?}");
        }
    }

    #[test]
    fn what_came_after_unicode_9_is_left_alone() {
        // U+1DF6 goes below U+301 by Unicode 10; U+11938 is of two parts by Unicode 13.
        let marks = "a\u{301}\u{1df6}\u{323}";
        assert_eq!(nfc(marks), "\u{e1}\u{1df6}\u{323}");
        let parts = "e\u{301}\u{11935}\u{11930}";
        assert_eq!(nfc(parts), "\u{e9}\u{11935}\u{11930}");
        // By Unicode 9 already.
        assert_eq!(nfc("e\u{301}\u{1e02a}\u{323}"), "\u{1eb9}\u{301}\u{1e02a}");
    }

    #[test]
    fn the_longest_is_three_times_as_long() {
        let text = "\u{1d160}".repeat(9);
        assert_eq!(nfc(&text).len(), LONGER * text.len());
        for c in '\0'..=char::MAX {
            let text = String::from(c);
            assert!(nfc(&text).len() <= LONGER * text.len(), "{c:?}");
        }
    }

    /// Letters, marks of all kinds, and what becomes longer, shorter or something else.
    fn texts() -> impl Strategy<Value = String> {
        let ranges = [
            (' ', '~'),
            ('\n', '\n'),
            ('\u{c0}', '\u{233}'),
            ('\u{300}', '\u{345}'),
            ('\u{5b0}', '\u{5c2}'),
            ('\u{93c}', '\u{95f}'),
            ('\u{f71}', '\u{f81}'),
            ('\u{1100}', '\u{11c2}'),
            ('\u{1df6}', '\u{1e0f}'),
            ('\u{1f00}', '\u{1fff}'),
            ('\u{ac00}', '\u{ac20}'),
            ('\u{f900}', '\u{fb4e}'),
            ('\u{11300}', '\u{113ff}'),
            ('\u{1d15e}', '\u{1d172}'),
        ];
        let one = proptest::sample::select(ranges.to_vec())
            .prop_flat_map(|(first, last)| proptest::char::range(first, last));
        proptest::collection::vec(one, 0..24).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn texts_stay_what_they_became_and_are_no_longer_than_said(text in texts()) {
            let composed = nfc(&text);
            prop_assert!(composed.len() <= LONGER * text.len());
            prop_assert_eq!(nfc(&composed), composed.clone());
            // The end of a line joins with nothing, so lines are normalised as the whole.
            let lines: String = text.split_inclusive('\n').map(nfc).collect();
            prop_assert_eq!(lines, composed);
        }
    }
}
