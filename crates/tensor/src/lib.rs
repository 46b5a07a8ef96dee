//! Exact tensor operations and the language models made of them: the same bits on every machine.
//!
//! [`int1`] is the arithmetic (specified in `docs/reference/int1.md`), [`kernels`] its inner loops per
//! instruction set, [`matrix`] and [`cache`] what they work on, [`model`] the forward pass, [`engine`] many
//! sequences at once, [`encoder`] models that make embeddings. A model comes from a [`blob`], which [`import`] makes from GGUF or safetensors
//! files and which carries its own [`tokenizer`].
//!
//! No clock, no randomness, no host floats after import: what a step computes depends on the blob, the
//! tokens and the seeds alone, not on threads, batch or processor.

mod attend;
pub mod blob;
pub mod cache;
#[cfg(feature = "text")]
pub mod chat;
pub mod encoder;
pub mod engine;
mod error;
#[cfg(feature = "text")]
pub mod import;
pub mod int1;
pub mod kernels;
pub mod matrix;
pub mod model;
#[cfg(feature = "text")]
pub mod shelf;
#[cfg(feature = "text")]
pub mod tokenizer;
pub mod workers;

pub use error::{Error, Result};
