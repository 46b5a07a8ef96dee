//! From the files that models are published in to a [`blob`](crate::blob).
//!
//! Everything read here is hostile: no allocation follows a number in a file before the bytes that it
//! stands for are seen to exist. The numbers themselves are converted with exact operations of IEEE-754
//! (products, quotients, square roots, rounding), so that an import gives the same blob everywhere.

mod assemble;
mod bert;
mod beside;
mod config;
mod encoding;
mod gguf;
mod names;
mod quantise;
mod reader;
mod safetensors;
mod settings;
mod synthetic;
mod turns;

pub use assemble::{Description, Family, assemble};
pub use bert::{EncoderDescription, assemble_encoder};
pub use beside::{Beside, pooling_folder};
pub use encoding::{Encoding, Tensor};
pub use gguf::Gguf;
pub use quantise::{Quantiser, SCALE_BITS};
pub use safetensors::Safetensors;
pub use synthetic::{synthetic, synthetic_encoder};
pub use turns::{Scaling, turns};

use std::borrow::Cow;
use std::io::Write;

use crate::Result;
use crate::tokenizer::Vocabulary;

/// Tensors by the names that GGUF gives them.
pub trait Tensors {
    /// The tensor, if there is one of this name.
    ///
    /// # Errors
    /// When it is there but damaged or in an encoding that is not read.
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>>;

    /// The names of all tensors; those that GGUF has no name for as they are.
    fn names(&self) -> Vec<Cow<'_, str>>;
}

/// Imports a GGUF file: a description, its tensors and its tokenizer. Returns the model's id and the
/// blob's size.
///
/// # Errors
/// When the file is damaged, the model is of a kind that is not supported, or the sink fails.
pub fn gguf(file: &[u8], quantiser: Quantiser, into: impl Write) -> Result<(blake3::Hash, usize)> {
    let gguf = Gguf::parse(file)?;
    assemble(&gguf.description()?, &gguf, &gguf.vocabulary()?, quantiser, into)
}

/// Imports a safetensors file with the `config.json` and `tokenizer.json` beside it, and the chat
/// template of its `tokenizer_config.json` if there is one.
///
/// # Errors
/// As for [`gguf`].
pub fn safetensors(
    file: &[u8],
    config: &[u8],
    tokenizer: &[u8],
    chat_template: Option<String>,
    quantiser: Quantiser,
    into: impl Write,
) -> Result<(blake3::Hash, usize)> {
    let (description, names) = config::description(config)?;
    let tensors = Safetensors::parse(file)?.named(names);
    let mut vocabulary = Vocabulary::from_tokenizer_json(tokenizer)?;
    vocabulary.chat_template = chat_template;
    assemble(&description, &tensors, &vocabulary, quantiser, into)
}

/// Imports a safetensors file of an encoder with what lies beside it, as sentence-transformers lay out their
/// folders.
///
/// # Errors
/// As for [`gguf`].
pub fn encoder(
    file: &[u8],
    beside: &Beside<'_>,
    quantiser: Quantiser,
    into: impl Write,
) -> Result<(blake3::Hash, usize)> {
    let tensors = Safetensors::parse(file)?.named(&names::BERT);
    let vocabulary = Vocabulary::from_tokenizer_json(beside.tokenizer)?;
    assemble_encoder(&beside.description()?, &tensors, &vocabulary, quantiser, into)
}
