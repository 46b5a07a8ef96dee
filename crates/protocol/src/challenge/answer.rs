//! What a provider answers, step by step, and what it signs.
//!
//! Each step's digest binds the statement and everything before it, so one signature under a wrong opening
//! shows the whole conversation. Signatures are of the provider's node key (secp256k1, recoverable: `r`,
//! `s`, `v` of 27 or 28), which its record on chain names; a contract can recover it as well.

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{Hash, MAX_OPENING_BYTES, Path, Secret, Statement, product::MAX_ROUNDS};
use crate::encoding::{DecodeError, decode, encode};
pub use crate::signed::SIGNATURE_BYTES;

/// Most bytes of an encoded transcript: openings, roots of all rounds, and room for the rest.
pub const MAX_TRANSCRIPT_BYTES: usize = MAX_OPENING_BYTES + MAX_ROUNDS as usize * 32 + (64 << 10);
/// In front of what is signed; no transaction and no other message begins like this.
const SIGNED: &[u8] = b"tilth challenge answer 1\n";

mod context {
    pub(super) const STATEMENT: &str = "tilth challenge 1: digest of a statement";
    pub(super) const COMMIT: &str = "tilth challenge 1: digest of roots";
    pub(super) const ENDS: &str = "tilth challenge 1: digest of walks' ends";
    pub(super) const OPENINGS: &str = "tilth challenge 1: digest of openings";
}

/// The roots: one per round of products, or one of the memory.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// In order of the rounds.
    pub roots: Vec<Hash>,
}

/// A group of labels out of the memory's tree.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LabelOpening {
    /// The labels of the group, [`super::memory::GROUP_BYTES`].
    pub group: Vec<u8>,
    /// From the group to the root.
    pub path: Path,
}

/// A label with what it depends on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LabelProof {
    /// The label.
    pub label: LabelOpening,
    /// The one before it and its other parents, in order; empty in the first layer.
    pub parents: Vec<LabelOpening>,
}

/// A walk with everything it read.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct WalkOpening {
    /// From its end to the root of the ends.
    pub path: Path,
    /// The label read in each step.
    pub reads: Vec<LabelOpening>,
}

/// The samples, in the order in which they were drawn.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Openings {
    /// Of tiles: their paths. The checker knows what is in a tile.
    Products(Vec<Path>),
    /// Of a memory.
    Memory {
        /// Labels.
        labels: Vec<LabelProof>,
        /// Walks.
        walks: Vec<WalkOpening>,
    },
}

/// Something with its provider's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Sealed<T> {
    /// What was said.
    pub said: T,
    /// Under [`signing_hash`] of its digest.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// How long each step took, as the asker saw it, in milliseconds. The provider does not sign this: a third
/// party has only the asker's word for it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub struct Times {
    /// From the question to the roots.
    pub commit_ms: u64,
    /// From the walk's key to its ends; 0 without a walk.
    pub walk_ms: u64,
    /// From the secret to the openings.
    pub open_ms: u64,
    /// A round trip without work, measured just before.
    pub round_trip_ms: u64,
}

/// A whole conversation, to be checked by anybody.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transcript {
    /// What was asked.
    pub statement: Statement,
    /// The roots.
    pub commit: Sealed<Commit>,
    /// The root of the walks' ends; of a memory only.
    pub ends: Option<Sealed<Hash>>,
    /// What drew the samples.
    pub secret: Secret,
    /// The samples.
    pub openings: Sealed<Openings>,
    /// How long it took.
    pub times: Times,
}

/// Versioned file form.
#[derive(BorshSerialize, BorshDeserialize)]
enum File {
    V1(Box<Transcript>),
}

impl Transcript {
    /// The canonical bytes of a transcript's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&File::V1(Box::new(self.clone())))
    }

    /// Reads a transcript's file; nothing in it is checked yet.
    ///
    /// # Errors
    /// More than [`MAX_TRANSCRIPT_BYTES`], or not an encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let File::V1(transcript) = decode(bytes, MAX_TRANSCRIPT_BYTES)?;
        Ok(*transcript)
    }
}

/// Digest of a statement.
pub fn statement_digest(statement: &Statement) -> Hash {
    blake3::derive_key(context::STATEMENT, &encode(statement))
}

/// Digest of the roots under a statement's digest.
pub fn commit_digest(statement: &Hash, commit: &Commit) -> Hash {
    blake3::derive_key(context::COMMIT, &[statement.as_slice(), &encode(commit)].concat())
}

/// Digest of the walks' ends under the roots' digest.
pub fn ends_digest(commit: &Hash, root: &Hash) -> Hash {
    blake3::derive_key(context::ENDS, &[*commit, *root].concat())
}

/// Digest of the openings under the digest before them (of the ends, or of the roots without a walk).
pub fn openings_digest(before: &Hash, secret: &Secret, openings: &Openings) -> Hash {
    let bytes = [before.as_slice(), &secret.0, &encode(openings)].concat();
    blake3::derive_key(context::OPENINGS, &bytes)
}

/// What the node key signs for a step with this digest.
pub fn signing_hash(digest: &Hash) -> B256 {
    keccak256([SIGNED, digest].concat())
}
