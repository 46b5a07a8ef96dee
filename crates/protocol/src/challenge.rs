//! Challenges: proof that a device computes as fast, and holds as much, as its provider announces.
//!
//! A challenge is work whose answer cannot be known before it is asked, takes the device's whole strength,
//! and is checked in samples by anybody with a CPU. Everything here is shared by who asks, who answers and
//! who checks afterwards: what is asked ([`Statement`]), what is hashed ([`product`], [`memory`]), and what
//! is answered ([`answer`]). The same bytes come out on every processor, because all arithmetic is on
//! integers and all hashing is BLAKE3.
//!
//! ```text
//! asker                                   provider
//!   Statement (promise = H(H(secret)))  ─►  works: rounds of products, or fills memory
//!                        roots, signed  ◄─
//!   H(secret)         (memory only)     ─►  walks through the memory
//!                    ends' root, signed  ◄─
//!   secret                              ─►  opens the samples that the secret draws
//!                      openings, signed  ◄─
//! ```
//!
//! The samples follow from a secret that the asker had fixed before (the promise) and the roots that the
//! provider has fixed since, so neither side chooses them alone. `docs/reference/challenge.md` says what
//! this proves and what it does not.

pub mod answer;
pub mod class;
pub mod crown;
pub mod memory;
pub mod message;
pub mod product;
pub mod prove;
pub mod seed;
pub mod tree;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

pub use answer::{Commit, LabelOpening, Openings, Sealed, Times, Transcript, WalkOpening};
pub use class::{Class, Deadline};
pub use memory::MemoryTask;
pub use product::ProductTask;
pub use seed::Secret;
pub use tree::{Path, Tree};

pub use crate::signed::Hash;

/// Most bytes of a device's name: NVIDIA's UUIDs have 40, PCI addresses 16.
pub const MAX_DEVICE_BYTES: usize = 64;
/// Most bytes of an encoded statement; the longest has 269.
pub const MAX_STATEMENT_BYTES: usize = 512;
/// Most bytes of openings: seven eighths of the 2 MiB that a frame of the worker protocol has.
pub const MAX_OPENING_BYTES: usize = 7 << 18;

/// Of whom it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subject {
    /// The provider's node account, whose key signs the answer.
    pub node: [u8; 20],
    /// Its endpoint.
    pub endpoint: [u8; 32],
    /// Which of its devices: `cpu`, or a name from its inventory. At most [`MAX_DEVICE_BYTES`] of printable
    /// ASCII.
    pub device: String,
}

/// A block that was there when the question was made: nobody can have begun before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub struct Beacon {
    /// The chain.
    pub chain_id: u64,
    /// The block's number.
    pub block: u64,
    /// The block's hash.
    pub hash: [u8; 32],
}

/// What is to be computed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Task {
    /// Chained exact products of int8 matrices.
    Products(ProductTask),
    /// A memory that is filled and walked through.
    Memory(MemoryTask),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statement {
    /// Of whom it is asked.
    pub subject: Subject,
    /// The asker's endpoint.
    pub asker: [u8; 32],
    /// Not before this block.
    pub beacon: Beacon,
    /// Fresh random bytes of the asker's.
    pub nonce: [u8; 32],
    /// What the asker's secret hashes to, twice ([`Secret::promise`]).
    pub promise: Hash,
    /// What is to be computed.
    pub task: Task,
}

/// Why a statement is refused: something is outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value}, it must be {bound}")]
pub struct OutOfBounds {
    /// What.
    pub what: &'static str,
    /// What it is.
    pub value: u64,
    /// What it may be.
    pub bound: String,
}

impl OutOfBounds {
    /// Refuses `value` unless it lies in `low..=high`.
    pub(crate) fn check(what: &'static str, value: u64, low: u64, high: u64) -> Result<(), Self> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Self { what, value, bound: format!("{low} to {high}") })
    }

    /// Refuses `value` unless it is a power of two.
    pub(crate) fn power(what: &'static str, value: u32) -> Result<(), Self> {
        if value.is_power_of_two() {
            return Ok(());
        }
        Err(Self { what, value: value.into(), bound: "a power of two".into() })
    }
}

impl Task {
    /// Checks every size.
    ///
    /// # Errors
    /// Which one is out of bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Products(task) => task.check()?,
            Self::Memory(task) => task.check()?,
        }
        OutOfBounds::check(
            "size of the openings, bytes",
            self.opening_bytes(),
            0,
            MAX_OPENING_BYTES as u64,
        )
    }

    /// Bytes of an answer's openings, rounded up.
    pub fn opening_bytes(&self) -> u64 {
        match self {
            Self::Products(task) => task.opening_bytes(),
            Self::Memory(task) => task.opening_bytes(),
        }
    }

    /// Bytes of memory that an honest answer needs on the device, with the trees and rounded up.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Products(task) => task.memory_bytes(),
            Self::Memory(task) => task.memory_bytes(),
        }
    }
}

impl Statement {
    /// Checks every bound.
    ///
    /// # Errors
    /// What is outside its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let name = &self.subject.device;
        OutOfBounds::check(
            "length of the device's name",
            name.len() as u64,
            1,
            MAX_DEVICE_BYTES as u64,
        )?;
        if let Some(odd) = name.bytes().find(|byte| !byte.is_ascii_graphic()) {
            let bound = "printable ASCII without blanks".to_owned();
            return Err(OutOfBounds {
                what: "a byte of the device's name",
                value: odd.into(),
                bound,
            });
        }
        self.task.check()
    }
}

#[cfg(test)]
mod tests;
