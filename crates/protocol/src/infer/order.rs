//! What an agent and a worker that serves a model say to each other, inside the frames of
//! [`crate::worker`]. The worker answers many asks at the same time; their numbers are the agent's.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{End, Makes, Parameters, Piece, Prompt, Refusal};

/// How much a serving worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Room {
    /// Most tokens of one prompt and its answer, or of one input; at most the model's own context.
    pub context: u32,
    /// Tokens of all that run at the same time; of no meaning for embeddings, which keep nothing.
    pub tokens: u32,
    /// Answers that run at the same time.
    pub running: u32,
    /// Answers that wait.
    pub waiting: u32,
    /// Threads that compute; 0 for one per processor.
    pub threads: u32,
}

impl Room {
    /// For one answer of at most so many tokens, with those of its prompt.
    pub const fn for_one(tokens: u32) -> Self {
        Self { context: tokens, tokens, running: 1, waiting: 0, threads: 0 }
    }
}

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ToModel {
    /// Load the model blob. Once, first.
    Load {
        /// Its path as the worker sees it.
        model: String,
        /// How much may be held.
        room: Room,
    },
    /// Answer a question.
    Ask {
        /// Its number, not in use.
        id: u64,
        /// What the answer continues.
        prompt: Prompt,
        /// How the answer is made.
        parameters: Parameters,
    },
    /// Forget a question.
    Cancel(u64),
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FromModel {
    /// The model is there.
    Ready {
        /// What it was called where it came from.
        name: String,
        /// What it makes.
        makes: Makes,
        /// Most tokens of prompt and answer together; of one input, if it makes embeddings.
        context: u32,
        /// Units per token: millions of weights that a token goes through, at least 1.
        weight: u64,
    },
    /// A question is taken in.
    Begun {
        /// Which.
        id: u64,
        /// Tokens of its prompt.
        prompt_tokens: u32,
    },
    /// Part of an answer.
    Piece {
        /// Whose.
        id: u64,
        /// The part.
        piece: Piece,
    },
    /// The embedding of the next input.
    Embedding {
        /// Of which question.
        id: u64,
        /// With 30 fractional bits.
        embedding: Vec<i32>,
    },
    /// An answer is whole.
    Ended {
        /// Whose.
        id: u64,
        /// Why.
        end: End,
    },
    /// A question cannot be answered; nothing more is said of it.
    Refused {
        /// Which.
        id: u64,
        /// Why.
        why: Refusal,
        /// For people.
        text: String,
    },
}
