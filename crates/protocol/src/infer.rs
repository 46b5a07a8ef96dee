//! Asking a language model: what is asked, what comes back, what it costs, and the receipt for it.
//!
//! The answer follows from model, prompt and parameters alone (`docs/reference/int1.md`): whoever has the three
//! gets the same bits. All numbers are integers; probabilities and temperatures are fixed point with 16
//! fractional bits.

pub mod embed;
pub mod message;
pub mod order;
pub mod program;
pub mod receipt;
pub mod schema;
#[cfg(test)]
mod tests;
mod text;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::content::ContentHash;

pub use embed::{EmbeddingsHash, Input, Makes, check_question};
pub use message::{Piece, Question, Refusal, Reply};
pub use order::{FromModel, Room, ToModel};
pub use receipt::{Prices, Receipt, SignedReceipt};
pub use schema::Schema;
pub use text::LONGER;

pub use crate::signed::Hash;

/// Most bytes of a prompt's texts together: four times the longest context that is sold, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Most messages of a chat.
pub const MAX_MESSAGES: usize = 1024;
/// Most bytes of a role's name.
pub const MAX_ROLE_BYTES: usize = 32;
/// Most tokens of one answer: the longest context that `tensor` runs.
pub const MAX_ANSWER_TOKENS: u32 = 1 << 20;
/// Most texts that end an answer; what the widespread API allows.
pub const MAX_STOPS: usize = 4;
/// Most bytes of one of them.
pub const MAX_STOP_BYTES: usize = 256;
/// Most alternatives reported per token; what the widespread API allows.
pub const MAX_ALTERNATIVES: u8 = 20;
/// Highest temperature: 2, 16 fractional bits; what the widespread API allows.
pub const MAX_TEMPERATURE: u32 = 2 << 16;
/// Most answers to one prompt.
pub const MAX_STREAMS: u32 = 128;
/// Most tokens that a template adds to a chat; the longest instructions in those of today have some hundreds.
const TEMPLATE_TOKENS: usize = 1024;
/// Most tokens that a template adds to a message besides its role; those of today add up to five.
const MESSAGE_TOKENS: usize = 16;
/// Most bytes of a token: the longest in the vocabularies of today have some hundreds.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Message {
    /// Who says it: `system`, `user`, `assistant`, or what else the model's template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// What a model is given: what an answer continues, or inputs for embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompt {
    /// Plain text. What looks like a special token in it is text like any other.
    Text(String),
    /// Messages, put into the form that the model's own template gives them.
    Chat(Vec<Message>),
    /// Each of these has an embedding; nothing is continued.
    Inputs(Vec<Input>),
}

/// How an answer is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Parameters {
    /// The most tokens of the answer, 1 to [`MAX_ANSWER_TOKENS`].
    pub most: u32,
    /// 16 fractional bits, at most [`MAX_TEMPERATURE`]. Zero chooses the most likely token.
    pub temperature: u32,
    /// Only the so many most likely tokens; zero for all.
    pub top_k: u32,
    /// Only the most likely tokens that together reach this probability; 65,536 for all.
    pub top_p: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Which of several answers to one prompt, below [`MAX_STREAMS`].
    pub stream: u32,
    /// Texts that end the answer and are not part of it; at most [`MAX_STOPS`], none empty.
    pub stops: Vec<String>,
    /// How many likely tokens are reported with each token, at most [`MAX_ALTERNATIVES`]; `None`: no
    /// log-probabilities at all.
    pub alternatives: Option<u8>,
    /// What the answer is held to.
    #[serde(default)]
    pub form: Form,
}

/// What an answer is held to. New kinds come last: so what was encoded before them still means the same.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Whatever the model says.
    #[default]
    Text,
    /// One JSON object: only tokens are chosen that may follow in one (`docs/reference/int1.md`, section 13), and its
    /// last brace ends the answer.
    JsonObject,
    /// One JSON object that keeps to a schema (section 13); its last brace ends the answer.
    Schema(Box<Schema>),
}

impl Default for Parameters {
    /// Sixteen tokens, the most likely ones.
    fn default() -> Self {
        Self {
            most: 16,
            temperature: 0,
            top_k: 0,
            top_p: 1 << 16,
            seed: 0,
            stream: 0,
            stops: Vec::new(),
            alternatives: None,
            form: Form::Text,
        }
    }
}

/// A token that might have come, with its log-probability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its bytes, at most [`MAX_TOKEN_BYTES`]; of a special one, its name.
    pub bytes: Vec<u8>,
    /// Natural, 16 fractional bits, never above zero.
    pub log_probability: i32,
}

/// One token of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Said {
    /// The token.
    pub token: u32,
    /// The same with its log-probability, and the most likely ones, if they were asked for.
    pub likely: Option<(Candidate, Vec<Candidate>)>,
}

/// Why an answer ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The model ended it, or a text that ends it came. Embeddings always end so.
    Stop,
    /// As many tokens as were asked for.
    Length,
}

/// A model that is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelOffer {
    /// Hash of the model blob: names weights, arithmetic, tokenizer and template at once.
    pub model: ContentHash,
    /// What people call it; no promise. At most [`crate::spec::MAX_NAME_BYTES`].
    pub name: String,
    /// What it makes.
    pub makes: Makes,
    /// Most tokens of prompt and answer together; of one input, if it makes embeddings.
    pub context: u32,
    /// What it costs.
    pub prices: Prices,
}

/// Why something is refused: it is outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}, it must be {bound}")]
pub struct OutOfBounds {
    /// What.
    pub what: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub bound: String,
}

fn within(
    ok: bool,
    what: &'static str,
    value: impl ToString,
    bound: impl ToString,
) -> Result<(), OutOfBounds> {
    if ok {
        return Ok(());
    }
    Err(OutOfBounds { what, value: value.to_string(), bound: bound.to_string() })
}

impl Prompt {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first thing that is outside.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let bytes = match self {
            Self::Text(text) => text.len(),
            Self::Chat(messages) => {
                within(
                    (1..=MAX_MESSAGES).contains(&messages.len()),
                    "the number of messages",
                    messages.len(),
                    format!("1 to {MAX_MESSAGES}"),
                )?;
                for message in messages {
                    let role = &message.role;
                    within(
                        (1..=MAX_ROLE_BYTES).contains(&role.len())
                            && role.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                        "a message's role",
                        format!("{:?}", role.chars().take(40).collect::<String>()),
                        format!("1 to {MAX_ROLE_BYTES} small letters"),
                    )?;
                }
                messages.iter().fold(0_usize, |sum, m| sum.saturating_add(m.content.len()))
            }
            Self::Inputs(inputs) => return embed::check_inputs(inputs),
        };
        within(
            bytes <= MAX_PROMPT_BYTES,
            "the prompt's length",
            bytes,
            format!("at most {MAX_PROMPT_BYTES} bytes"),
        )
    }

    /// More tokens than an honest provider can count in it: no token stands for less than a byte, text whose letters
    /// and accents are not composed may become [`LONGER`] times as long, and templates add some to each message and
    /// some to the whole. Where messages meet, accents may join otherwise: that is less than what a message is allowed.
    pub fn most_tokens(&self) -> u32 {
        let (bytes, messages) = match self {
            Self::Text(text) => (text::most_bytes(text), 0),
            Self::Chat(messages) => {
                let sum = |sum: usize, m: &Message| {
                    sum.saturating_add(text::most_bytes(&m.content)).saturating_add(m.role.len())
                };
                (messages.iter().fold(0, sum), messages.len())
            }
            Self::Inputs(inputs) => {
                return u32::try_from(embed::most_tokens(inputs)).unwrap_or(u32::MAX);
            }
        };
        let template = TEMPLATE_TOKENS.saturating_add(messages.saturating_mul(MESSAGE_TOKENS));
        u32::try_from(bytes.saturating_add(template)).unwrap_or(u32::MAX)
    }

    /// What a receipt says of it.
    pub fn hash(&self) -> Hash {
        blake3::derive_key("tilth 2026-11 prompt v1", &crate::encode(self))
    }
}

impl Parameters {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first thing that is outside.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within(
            (1..=MAX_ANSWER_TOKENS).contains(&self.most),
            "the most tokens of the answer",
            self.most,
            format!("1 to {MAX_ANSWER_TOKENS}"),
        )?;
        within(
            self.temperature <= MAX_TEMPERATURE,
            "the temperature, in 65,536ths,",
            self.temperature,
            format!("at most {MAX_TEMPERATURE}"),
        )?;
        within(self.top_p <= 1 << 16, "top-p, in 65,536ths,", self.top_p, "at most 65536")?;
        within(
            self.stream < MAX_STREAMS,
            "the number of the answer",
            self.stream,
            format!("below {MAX_STREAMS}"),
        )?;
        within(
            self.stops.len() <= MAX_STOPS,
            "the number of stop texts",
            self.stops.len(),
            format!("at most {MAX_STOPS}"),
        )?;
        for stop in &self.stops {
            within(
                (1..=MAX_STOP_BYTES).contains(&stop.len()),
                "a stop text's length",
                stop.len(),
                format!("1 to {MAX_STOP_BYTES} bytes"),
            )?;
        }
        within(
            self.alternatives.is_none_or(|count| count <= MAX_ALTERNATIVES),
            "the number of alternatives",
            self.alternatives.unwrap_or(0),
            format!("at most {MAX_ALTERNATIVES}"),
        )
    }
}

/// What a receipt says of an answer: its tokens with all that was said of them, its text, and how it ended.
pub fn output_hash(said: &[Said], text: &str, end: End) -> Hash {
    blake3::derive_key("tilth 2026-11 answer v1", &crate::encode(&(said, text, end)))
}
