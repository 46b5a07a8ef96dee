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

/// Ascending ranges of characters.
type Ranges = Vec<(char, char)>;

static LETTERS: LazyLock<Ranges> = LazyLock::new(|| ranges(r"\p{L}"));
/// By general category. The standard library's `is_numeric` is of another version of Unicode, which changes
/// with the compiler.
static NUMBERS: LazyLock<Ranges> = LazyLock::new(|| ranges(r"\p{N}"));

/// Marks that take no room. By the age of Unicode that [`normal`](super::normal) explains: U+1734 and U+1171E
/// were some then; U+1885, U+1886, U+A9BD and U+111C9 were not.
static MARKS: LazyLock<Ranges> = LazyLock::new(|| {
    ranges(r"[[[\p{Mn}&&\p{Age:8.0}]--[\u{1885}\u{1886}\u{a9bd}\u{111c9}]]\u{1734}\u{1171e}]")
});
/// Punctuation, with all of ASCII's signs, of the same age; U+166D and U+111C9 were some then.
static PUNCTUATION: LazyLock<Ranges> =
    LazyLock::new(|| ranges(r"[[\p{P}&&\p{Age:8.0}][[:punct:]]\u{166d}\u{111c9}]"));
/// Control, format and private characters of the same age.
static CONTROLS: LazyLock<Ranges> =
    LazyLock::new(|| ranges(r"[\p{Cc}\p{Co}[\p{Cf}&&\p{Age:8.0}]]"));

/// What Unicode 9 has.
static KNOWN: LazyLock<Ranges> = LazyLock::new(|| ranges(r"\p{Age:9.0}"));

/// Whether a character was there in Unicode 9, the age by which [`form`](super::form) normalises.
pub(super) fn is_known(c: char) -> bool {
    c.is_ascii() || is_in(&KNOWN, c)
}

/// Whether a character is punctuation between words.
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { is_in(&PUNCTUATION, c) }
}

/// Whether a character is an accent that goes.
pub(super) fn is_mark(c: char) -> bool {
    !c.is_ascii() && is_in(&MARKS, c)
}

/// Whether cleaning leaves a character out.
pub(super) fn is_left_out(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{fffd}' => true,
        _ => is_in(&CONTROLS, c),
    }
}

/// Whether a character is an ideograph: the blocks that Hugging Face's tokenizer names.
pub(super) fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b81f}'
        | '\u{2b920}'..='\u{2ceaf}'
        | '\u{2f800}'..='\u{2fa1f}')
}

fn ranges(class: &str) -> Ranges {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.ranges().iter().map(|r| (r.start(), r.end())).collect()
        }
        _ => vec![],
    }
}

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
    } else if is_in(&NUMBERS, c) {
        Kind::Number
    } else if is_in(&LETTERS, c) {
        Kind::Letter
    } else {
        Kind::Other
    }
}

fn is_in(ranges: &Ranges, c: char) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= c);
    after > 0 && c <= ranges[after - 1].1
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    /// As many as Hugging Face's tokenizers 0.23.3 has, found by asking it for every character.
    #[test]
    fn encoders_classes_are_the_reference_s() {
        let count = |of: fn(char) -> bool| ('\0'..=char::MAX).filter(|c| of(*c)).count();
        assert_eq!(count(is_punctuation), 726);
        assert_eq!(count(is_mark), 1_567);
        assert_eq!(count(is_left_out), 137_681);
        assert_eq!(count(is_ideograph), 81_264);
        // Those that Unicode 9 names, and those for private use.
        assert_eq!(count(is_known), 265_771);
        assert_eq!(
            count(char::is_whitespace),
            22 + 3,
            "with U+B, U+C and U+85, which cleaning takes"
        );
    }

    /// Every character, against the regular expressions themselves.
    #[test]
    fn classes_have_every_range() {
        assert_eq!(LETTERS.iter().chain(&*NUMBERS).filter(|(start, end)| start > end).count(), 0);
        let count = |ranges: &Ranges| -> usize {
            ranges.iter().map(|(start, end)| (*start..=*end).count()).sum()
        };
        let kinds = |wanted| ('\0'..=char::MAX).filter(|c| kind(*c) == wanted).count();
        assert_eq!(kinds(Kind::Letter), count(&LETTERS));
        assert_eq!(kinds(Kind::Number), count(&NUMBERS));
        // Ideographs with a numeric value are letters: general category Lo.
        assert!("一二三〇".chars().filter(|c| kind(*c) == Kind::Letter).count() == 3);
        assert_eq!(kind('〇'), Kind::Number);
    }

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
