//! How long a text may be to a model.

use icu_normalizer::ComposingNormalizerBorrowed;

/// How many times as long UTF-8 becomes at most where a model's tokenizer composes letters and accents (NFC), by the
/// table of expansions in Unicode's annex 15. `worker` compares it with what `tensor` does.
pub const LONGER: usize = 3;

/// Most bytes that are cut into tokens for a text, and with that most tokens: none stands for less than a byte.
///
/// Offers do not say whose tokenizer composes, so it may be any. Text that is composed already stays as long as it is,
/// to every edition of Unicode; only what is not may become longer, and by how much depends on the edition.
pub(super) fn most_bytes(text: &str) -> usize {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    if text.is_ascii() || nfc.is_normalized(text) {
        return text.len();
    }
    // A sign of ASCII joins with nothing before it: from one to the next, each part changes by itself.
    let signs = text.bytes().enumerate().skip(1).filter(|(_, byte)| byte.is_ascii());
    let (mut most, mut start) = (0_usize, 0);
    for end in signs.map(|(at, _)| at).chain([text.len()]) {
        let part = &text[start..end];
        let longer = if part.is_ascii() || nfc.is_normalized(part) { 1 } else { LONGER };
        most = most.saturating_add(part.len().saturating_mul(longer));
        start = end;
    }
    most
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Message, Prompt},
        *,
    };

    #[test]
    fn only_what_is_not_composed_may_become_longer() {
        for (text, most) in [
            ("", 0),
            ("as it is <|im_end|>", 19),
            // Composed: Latin, Greek, Han, Hangul, Hebrew with its points, and what came after Unicode 9.
            ("\u{e9}t\u{e9} \u{3b1} \u{6f22}\u{5b57} \u{d55c}", 5 + 1 + 2 + 1 + 6 + 1 + 3),
            ("\u{5e9}\u{5bc}\u{5c1} \u{e1}\u{1df6}", 6 + 1 + 2 + 3),
            // The letter before the accent counts with it, those around it do not.
            ("caf\u{e9} cafe\u{301} caf\u{e9}", 5 + 1 + 3 + 3 * 3 + 1 + 5),
            ("\u{1d160}", 12),
            ("\u{212b}", 9),
            ("\u{1100}\u{1161}\n\u{ac00}", 18 + 1 + 3),
        ] {
            assert_eq!(most_bytes(text), most, "{text:?}");
        }
    }

    #[test]
    fn prompts_allow_for_it_wherever_text_stands() {
        let text = "\u{1d160}".repeat(1000);
        let message = |content: &str| Message { role: "user".into(), content: content.into() };
        let chat = |content: &str| Prompt::Chat(vec![message("so"), message(content)]);
        // 4,000 bytes are up to 12,000 tokens, and what templates add stays the same.
        let plain = "a".repeat(12_000);
        assert_eq!(Prompt::Text(text.clone()).most_tokens(), 12_000 + 1024);
        assert_eq!(Prompt::Text(plain.clone()).most_tokens(), 12_000 + 1024);
        assert_eq!(chat(&text).most_tokens(), chat(&plain).most_tokens());
    }
}
