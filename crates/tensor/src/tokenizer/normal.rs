//! Text as encoders of the BERT kind want it: without control characters and accents, in lower case, ideographs
//! apart.
//!
//! Hugging Face's `tokenizers` knows Unicode 8 here, and vocabularies were made with it: what is a mark or
//! punctuation only since then stays as it is.

use icu_normalizer::DecomposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

use super::classes::{is_ideograph, is_left_out, is_mark};

/// What is done to a text before it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "four switches, each on its own")]
pub struct Normalising {
    /// Control characters go, white space becomes spaces.
    pub clean: bool,
    /// Spaces around ideographs.
    pub ideographs: bool,
    /// Accents go.
    pub accents: bool,
    /// Capitals become small letters.
    pub lower: bool,
}

impl Normalising {
    pub(super) fn apply(self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.clean {
            text.retain(|c| !is_left_out(c));
            text = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        }
        if self.ideographs {
            let mut apart = String::with_capacity(text.len());
            for c in text.chars() {
                if is_ideograph(c) {
                    apart.extend([' ', c, ' ']);
                } else {
                    apart.push(c);
                }
            }
            text = apart;
        }
        if self.accents && !text.is_ascii() {
            text = DecomposingNormalizerBorrowed::new_nfd().normalize(&text).into_owned();
            text.retain(|c| !is_mark(c));
        }
        if self.lower {
            // Character by character: no rule looks at neighbours.
            text = text.chars().flat_map(char::to_lowercase).collect();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_does_its_part() {
        let none = Normalising { clean: false, ideographs: false, accents: false, lower: false };
        let text = "É\u{0}\u{200b}\tÅ漢\u{fffd}İẞ";
        assert_eq!(none.apply(text), text);
        assert_eq!(Normalising { clean: true, ..none }.apply(text), "É Å漢İẞ");
        assert_eq!(
            Normalising { ideographs: true, ..none }.apply(text),
            "É\u{0}\u{200b}\tÅ 漢 \u{fffd}İẞ"
        );
        assert_eq!(
            Normalising { accents: true, ..none }.apply(text),
            "E\u{0}\u{200b}\tA漢\u{fffd}Iẞ"
        );
        assert_eq!(
            Normalising { lower: true, ..none }.apply(text),
            "é\u{0}\u{200b}\tå漢\u{fffd}i\u{307}ß"
        );
        let all = Normalising { clean: true, ideographs: true, accents: true, lower: true };
        assert_eq!(all.apply(text), "e a 漢 iß");
    }
}
