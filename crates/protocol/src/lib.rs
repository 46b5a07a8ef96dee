//! The words of tilth: everything that is sent, hashed, signed or stored on chain, with its one
//! canonical encoding. No I/O, no async, no decisions.
//!
//! Structures are encoded with [borsh](https://borsh.io): little-endian, length-prefixed, one valid
//! encoding per value. [`decode`] refuses anything above the caller's bound before it looks inside,
//! and anything with bytes left over. What the chain itself checks (leaves and Merkle-sum nodes) is
//! hashed with keccak256 over packed big-endian fields instead; see [`leaf`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod amount;
pub mod challenge;
pub mod clock;
pub mod contact;
pub mod content;
pub mod encoding;
pub mod gpu;
pub mod id;
pub mod infer;
pub mod leaf;
pub mod problem;
pub mod signed;
pub mod spec;
pub mod worker;

pub use amount::{Amount, Price, Units};
pub use clock::Clock;
pub use contact::Contact;
pub use content::{ContentHash, ContentRef};
pub use encoding::{DecodeError, decode, encode};
pub use gpu::{GpuProgram, GpuReport};
pub use id::{JobId, RangeId, TaskIndex};
pub use leaf::{Leaf, PREPARE_INDEX, RangeManifest, Status, Tally};
pub use problem::{Harmless, Problem};
pub use spec::{Input, InputSource, JobSpec, Limits, Output, SpecError, Workload};
