//! The deterministic WebAssembly machine: the same program and inputs give the same output bytes and
//! the same metered units on every machine and every run.
//!
//! A program's way through this crate:
//!
//! 1. [`admit`] checks a module against static caps, validates it with exactly our set of WebAssembly
//!    features, and rewrites it: recursion is bounded by a counter, growing memory is a metered host
//!    call, and initial data is taken out so that memory can be started from an image.
//! 2. [`compile`] turns it into an artifact of machine code. Compiling is the expensive and exposed
//!    step, so it runs in a child process with limits.
//! 3. [`Session`] loads an artifact and inputs, runs the prepare phase once and then any number of
//!    tasks, each in a fresh instance whose memory is a copy-on-write image.
//!
//! What a program may do is described in `docs/reference/guest.md`.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod admission;
pub mod artifact;
pub mod costs;
mod engine;
mod host;
mod image;
mod outcome;
mod session;
mod stack;
mod wasi;

pub use admission::{Admitted, Entry, Refusal, admit};
pub use artifact::{Artifact, ArtifactError, CompileError, compile};
pub use engine::engine_key;
pub use outcome::{Log, PrepareOutcome, TaskOutcome};
pub use session::{Session, SessionError};
pub use stack::on_deep_stack;
pub use wasi::files::{Inputs, InputsError};
