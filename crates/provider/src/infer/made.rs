//! What was said to a caller so far, as its receipt will have it.

use tilth_protocol::infer::{EmbeddingsHash, End, Hash, Prompt, Said, output_hash};

/// An answer, or the hash of embeddings: they are not kept.
pub(super) enum Made {
    Text { said: Vec<Said>, text: String },
    Embeddings(Box<EmbeddingsHash>),
}

impl Made {
    /// Nothing yet.
    pub(super) fn of(prompt: &Prompt) -> Self {
        match prompt {
            Prompt::Text(_) | Prompt::Chat(_) => {
                Self::Text { said: Vec::new(), text: String::new() }
            }
            Prompt::Inputs(_) => Self::Embeddings(Box::default()),
        }
    }

    /// Takes the next part of an answer in.
    pub(super) fn take(&mut self, more: Vec<Said>, part: &str) {
        if let Self::Text { said, text } = self {
            said.extend(more);
            text.push_str(part);
        }
    }

    /// Takes the next embedding in.
    pub(super) fn embed(&mut self, embedding: &[i32]) {
        if let Self::Embeddings(hash) = self {
            hash.add(embedding);
        }
    }

    /// Tokens of the answer.
    pub(super) fn tokens(&self) -> u32 {
        match self {
            Self::Text { said, .. } => u32::try_from(said.len()).unwrap_or(u32::MAX),
            Self::Embeddings(_) => 0,
        }
    }

    pub(super) fn hash(&self, end: End) -> Hash {
        match self {
            Self::Text { said, text } => output_hash(said, text, end),
            Self::Embeddings(hash) => hash.finish(),
        }
    }
}
