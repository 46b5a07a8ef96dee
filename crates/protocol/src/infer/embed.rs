//! Embeddings: one vector for each of several inputs, from a model that writes no text.
//!
//! They are asked for as answers are, with [`Prompt::Inputs`](super::Prompt::Inputs) and [`Parameters::NONE`]: nothing
//! is chosen, so model and inputs alone decide every bit. Their receipt counts no tokens of an answer, and its output is
//! [`EmbeddingsHash`].

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{Form, Hash, MAX_PROMPT_BYTES, OutOfBounds, Parameters, Prompt, within};

/// Most inputs of one question; what the widespread API allows.
pub const MAX_INPUTS: usize = 2048;
/// Most elements of an embedding: the widest model that `tensor` runs.
pub const MAX_DIMENSIONS: u32 = 8192;
/// Fractional bits of an element, as `docs/reference/int1.md` has them; embeddings have length one.
pub const EMBEDDING_FRACTION: u32 = 30;
/// Most tokens that a model puts around an input; those of today put one before and one behind it.
const AROUND_TOKENS: usize = 4;
/// Most tokens to a byte of an input. Where accents are taken apart, two bytes become up to three characters.
const TOKENS_PER_BYTE: usize = 2;

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Plain text.
    Text(String),
    /// The model's own tokens, without those that it puts around every input.
    Tokens(Vec<u32>),
}

impl Input {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Tokens(tokens) => tokens.is_empty(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Tokens(tokens) => tokens.len().saturating_mul(size_of::<u32>()),
        }
    }

    fn most_tokens(&self) -> usize {
        let inside = match self {
            Self::Text(text) => text.len().saturating_mul(TOKENS_PER_BYTE),
            Self::Tokens(tokens) => tokens.len(),
        };
        inside.saturating_add(AROUND_TOKENS)
    }
}

/// Checks the inputs of a question.
pub(super) fn check_inputs(inputs: &[Input]) -> Result<(), OutOfBounds> {
    let count = inputs.len();
    let bound = format!("1 to {MAX_INPUTS}");
    within((1..=MAX_INPUTS).contains(&count), "the number of inputs", count, bound)?;
    if let Some(empty) = inputs.iter().position(Input::is_empty) {
        within(false, "an input", format!("empty (number {empty})"), "a text, or some tokens")?;
    }
    let bytes = inputs.iter().map(Input::bytes).fold(0, usize::saturating_add);
    let bound = format!("at most {MAX_PROMPT_BYTES} bytes");
    within(bytes <= MAX_PROMPT_BYTES, "the inputs' length", bytes, bound)
}

/// More tokens than an honest provider can count in all of them.
pub(super) fn most_tokens(inputs: &[Input]) -> usize {
    inputs.iter().map(Input::most_tokens).fold(0, usize::saturating_add)
}

/// What a model makes of what it is given.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Makes {
    /// Text.
    Text,
    /// Embeddings.
    Embeddings {
        /// Elements of one, 1 to [`MAX_DIMENSIONS`].
        dimensions: u32,
    },
}

impl Makes {
    /// Whether such a model is asked such a thing.
    pub fn takes(self, prompt: &Prompt) -> bool {
        matches!(self, Self::Embeddings { .. }) == matches!(prompt, Prompt::Inputs(_))
    }

    /// Checks the number of elements.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn check(self) -> Result<(), OutOfBounds> {
        let Self::Embeddings { dimensions } = self else { return Ok(()) };
        let bound = format!("1 to {MAX_DIMENSIONS}");
        within((1..=MAX_DIMENSIONS).contains(&dimensions), "the dimensions", dimensions, bound)
    }
}

impl Parameters {
    /// Of questions for embeddings: no token is chosen, and none is written.
    pub const NONE: Self = Self {
        most: 0,
        temperature: 0,
        top_k: 0,
        top_p: 1 << 16,
        seed: 0,
        stream: 0,
        stops: Vec::new(),
        alternatives: None,
        form: Form::Text,
    };
}

/// Checks every bound of a question.
///
/// # Errors
/// The first thing that is outside.
pub fn check_question(prompt: &Prompt, parameters: &Parameters) -> Result<(), OutOfBounds> {
    prompt.check()?;
    if !matches!(prompt, Prompt::Inputs(_)) {
        return parameters.check();
    }
    let none = *parameters == Parameters::NONE;
    within(none, "the way of choosing", "given", "left out for embeddings")
}

/// What a receipt says of embeddings: all of them, in the order of their inputs. Taken in one by one, for all together
/// may be long.
#[derive(Clone, Debug)]
pub struct EmbeddingsHash(blake3::Hasher);

impl Default for EmbeddingsHash {
    fn default() -> Self {
        Self(blake3::Hasher::new_derive_key("tilth 2026-11 embeddings v1"))
    }
}

impl EmbeddingsHash {
    /// Of all of these.
    pub fn of<'a>(embeddings: impl IntoIterator<Item = &'a [i32]>) -> Hash {
        let mut hash = Self::default();
        for embedding in embeddings {
            hash.add(embedding);
        }
        hash.finish()
    }

    /// Takes the next one in.
    pub fn add(&mut self, embedding: &[i32]) {
        // The encoding begins with the number of elements, so no two lists are the same bytes.
        self.0.update(&crate::encode(embedding));
    }

    /// The hash of what was taken in.
    pub fn finish(&self) -> Hash {
        *self.0.finalize().as_bytes()
    }
}

/// An element in single precision, rounded to nearest: for what leaves tilth. What is hashed, compared or paid for is the
/// integer.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to single precision is what is wanted"
)]
pub fn single(element: i32) -> f32 {
    (f64::from(element) / f64::from(1_u32 << EMBEDDING_FRACTION)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Prompt {
        Prompt::Inputs(texts.iter().map(|text| Input::Text((*text).to_owned())).collect())
    }

    #[test]
    fn questions_for_embeddings_have_inputs_and_nothing_to_choose() {
        let question = texts(&["a", "b"]);
        check_question(&question, &Parameters::NONE).unwrap();
        let refused = |prompt: &Prompt, parameters: &Parameters, names: &str| {
            let error = check_question(prompt, parameters).expect_err(names).to_string();
            assert!(error.contains(names), "{error}");
        };
        refused(&question, &Parameters::default(), "way of choosing");
        refused(&Prompt::Text("a".into()), &Parameters::NONE, "most tokens");
        refused(&texts(&[]), &Parameters::NONE, "number of inputs");
        refused(&texts(&["a"; MAX_INPUTS + 1]), &Parameters::NONE, "number of inputs");
        refused(&texts(&["a", ""]), &Parameters::NONE, "number 1");
        refused(&Prompt::Inputs(vec![Input::Tokens(vec![])]), &Parameters::NONE, "an input");
        let many = vec![Input::Tokens(vec![7; MAX_PROMPT_BYTES / 8 + 1]); 2];
        refused(&Prompt::Inputs(many), &Parameters::NONE, "length");
    }

    #[test]
    fn elements_become_the_nearest_numbers() {
        for (element, number) in [
            (1 << 30, 1.0),
            (-(1 << 29), -0.5),
            (644_245_094, 0.6),
            (1, 2_f32.powi(-30)),
            // Twenty-four bits are kept; a half goes to the even one.
            ((1 << 25) + 2, 2_f32.powi(-5)),
            ((1 << 25) + 3, 2_f32.powi(-5) + 2_f32.powi(-28)),
            ((1 << 25) + 6, 2_f32.powi(-5) + 2_f32.powi(-27)),
        ] {
            assert_eq!(single(element).to_bits(), f32::to_bits(number), "{element}");
        }
    }

    #[test]
    fn hashes_know_where_an_embedding_ends() {
        let of = |all: &[&[i32]]| EmbeddingsHash::of(all.iter().copied());
        assert_eq!(of(&[&[1, 2], &[3]]), of(&[&[1, 2], &[3]]));
        let others: [&[&[i32]]; 5] =
            [&[&[1, 2, 3]], &[&[1], &[2, 3]], &[&[3], &[1, 2]], &[&[1, 2]], &[]];
        for other in others {
            assert_ne!(of(&[&[1, 2], &[3]]), of(other), "{other:?}");
        }
    }

    #[test]
    fn models_are_asked_what_they_make() {
        let encoder = Makes::Embeddings { dimensions: 384 };
        assert!(encoder.takes(&texts(&["a"])) && !Makes::Text.takes(&texts(&["a"])));
        assert!(!encoder.takes(&Prompt::Text("a".into())));
        assert!(Makes::Text.takes(&Prompt::Chat(vec![])));
        encoder.check().unwrap();
        Makes::Embeddings { dimensions: 0 }.check().unwrap_err();
        Makes::Embeddings { dimensions: MAX_DIMENSIONS + 1 }.check().unwrap_err();
    }
}
