//! What a caller and a provider say to each other over one stream. A frame is a little-endian `u32` length and
//! so many bytes of borsh, at most [`MAX_QUESTION_BYTES`] one way and [`MAX_REPLY_BYTES`] the other.
//!
//! ```text
//! caller                         provider
//!   Who             ─►
//!                   ◄─  Here (node, offers)
//!   Ask             ─►
//!                   ◄─  Begun, Piece ..., Ended (with the signed receipt)    or Refused, at any time
//! ```
//!
//! One question at a time; after an answer's end the next may be asked. Who hangs up ends its answer.

use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{
    End, MAX_MESSAGES, MAX_PROMPT_BYTES, ModelOffer, Parameters, Prices, Prompt, Said,
    SignedReceipt,
};
use crate::content::ContentHash;

/// Name of this protocol on the wire.
pub const ALPN: &[u8] = b"tilth/infer/4";
/// Most bytes of a frame from the caller: a prompt, and room for lengths, roles and parameters.
pub const MAX_QUESTION_BYTES: usize = MAX_PROMPT_BYTES + 48 * MAX_MESSAGES + (8 << 10);
/// Most bytes of a frame from the provider. A token with twenty alternatives has at most 22 KiB.
pub const MAX_REPLY_BYTES: usize = 128 << 10;
/// Most tokens in one piece, so that a piece fits into a frame whatever its tokens are.
pub const MAX_PIECE_TOKENS: usize = 4;
/// Most models of a provider.
pub const MAX_OFFERS: usize = 64;
/// Most characters of an explanation.
pub const MAX_TEXT_CHARS: usize = 400;
/// How long a provider waits until its caller takes what it says; then it may hang up. A caller that let half of it
/// pass without listening does not know whose fault a broken answer is.
pub const MAX_UNTAKEN: Duration = Duration::from_secs(20);

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ask {
    /// The model.
    pub model: ContentHash,
    /// What the answer continues.
    pub prompt: Prompt,
    /// How the answer is made.
    pub parameters: Parameters,
    /// The prices that the caller has agreed to; others are refused.
    pub prices: Prices,
    /// Fresh random bytes, so that no two receipts are the same.
    pub nonce: [u8; 32],
}

/// From the caller.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Question {
    /// Which models are there? Answered at once, so it also measures the way there.
    Who,
    /// A question to a model.
    Ask(Box<Ask>),
}

/// Why a provider does not answer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// As many wait already as may; or its owner needs the machine.
    Busy,
    /// It does not have this model, or not at these prices.
    NotOffered,
    /// Prompt and answer, or an input, are longer than the context.
    TooLong {
        /// Tokens that the prompt leaves for an answer; 0 if the prompt alone is too long.
        left: u32,
    },
    /// The question breaks the rules.
    Invalid,
    /// The worker failed, or the caller did not take what was said.
    Broken,
}

/// Part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Piece {
    /// The next tokens, at most [`MAX_PIECE_TOKENS`].
    pub said: Vec<Said>,
    /// The text that is certain by now: whole characters, and nothing that a stop text may begin with.
    pub text: String,
}

/// From the provider.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Reply {
    /// Who it is.
    Here {
        /// Its node account, whose key signs receipts.
        node: [u8; 20],
        /// What it sells, at most [`MAX_OFFERS`].
        offers: Vec<ModelOffer>,
        /// How many answers are under way or wait.
        busy: u32,
    },
    /// The prompt, or all inputs together, have so many tokens and are being read.
    Begun {
        /// Tokens.
        prompt_tokens: u32,
    },
    /// The next part.
    Piece(Piece),
    /// The embedding of the next input, of length one with [`EMBEDDING_FRACTION`](super::embed::EMBEDDING_FRACTION)
    /// fractional bits.
    Embedding(Vec<i32>),
    /// The answer is whole.
    Ended {
        /// Why.
        end: End,
        /// What is owed for it, and what it was.
        receipt: Box<SignedReceipt>,
    },
    /// No answer, or no more of it; nothing is owed.
    Refused {
        /// Why.
        why: Refusal,
        /// For people, at most [`MAX_TEXT_CHARS`].
        text: String,
    },
}
