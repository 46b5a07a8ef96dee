//! Unicode classes as regular expressions know them.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// What splitting distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// Anything else.
    Other,
}

/// The letters beyond ASCII, as ascending ranges.
static LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let parsed = regex_syntax::parse(r"\p{L}").map(regex_syntax::hir::Hir::into_kind);
    match parsed {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.ranges().iter().map(|r| (r.start(), r.end())).collect()
        }
        _ => vec![],
    }
});

pub(super) fn kind(c: char) -> Kind {
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => Kind::Letter,
            '0'..='9' => Kind::Number,
            _ if c.is_whitespace() => Kind::Space,
            _ => Kind::Other,
        };
    }
    if c.is_whitespace() {
        Kind::Space
    } else if c.is_numeric() {
        Kind::Number
    } else if is_letter(c) {
        Kind::Letter
    } else {
        Kind::Other
    }
}

fn is_letter(c: char) -> bool {
    let after = LETTERS.partition_point(|(start, _)| *start <= c);
    after > 0 && c <= LETTERS[after - 1].1
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
    fn classes_are_unicode_s() {
        for c in "aZéßжあ漢ªⅰ".chars() {
            let expected = if c == 'ⅰ' { Kind::Number } else { Kind::Letter };
            assert_eq!(kind(c), expected, "{c}");
        }
        for c in "0٣½Ⅷ".chars() {
            assert_eq!(kind(c), Kind::Number, "{c}");
        }
        for c in " \t\n\u{a0}\u{2003}\u{3000}".chars() {
            assert_eq!(kind(c), Kind::Space);
        }
        // Combining marks and circled letters count as alphabetic, but are no letters.
        for c in "!_€\u{301}Ⓐ\u{200b}😀".chars() {
            assert_eq!(kind(c), Kind::Other, "{c}");
        }
    }
}
