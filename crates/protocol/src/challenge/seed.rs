//! From a statement to everything that looks random: keys, the asker's secret, the drawn samples.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Hash, Statement};
use crate::encoding::encode;

/// Contexts of `BLAKE3 derive_key`: one per purpose, so that no value serves two.
mod context {
    pub(super) const SEED: &str = "tilth challenge 1: seed of a statement";
    pub(super) const NEXT: &str = "tilth challenge 1: seed of the next round";
    pub(super) const STEP: &str = "tilth challenge 1: step of the secret's chain";
    pub(super) const DRAW: &str = "tilth challenge 1: draw of samples";
    pub(super) const LEFT: &str = "tilth challenge 1: left matrix";
    pub(super) const RIGHT: &str = "tilth challenge 1: right matrix";
    pub(super) const TILE: &str = "tilth challenge 1: tile of a product";
    pub(super) const NODE: &str = "tilth challenge 1: node of a tree";
    pub(super) const LABEL: &str = "tilth challenge 1: label of the memory";
    pub(super) const GROUP: &str = "tilth challenge 1: group of labels";
    pub(super) const WALK: &str = "tilth challenge 1: walk";
}

/// The seed of one challenge, or of one round of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub Hash);

impl Seed {
    /// The first: it binds everything in the statement, so nobody else's answer fits.
    pub fn of(statement: &Statement) -> Self {
        Self(blake3::derive_key(context::SEED, &encode(statement)))
    }

    /// That of the round after the one with this root.
    pub fn next(&self, root: &Hash) -> Self {
        Self(blake3::derive_key(context::NEXT, &[self.0, *root].concat()))
    }

    /// Key of the left matrix's rows in this round.
    pub fn left(&self) -> Hash {
        blake3::derive_key(context::LEFT, &self.0)
    }

    /// Key of the right matrix's columns; taken from the first seed, for all rounds.
    pub fn right(&self) -> Hash {
        blake3::derive_key(context::RIGHT, &self.0)
    }

    /// Key of tiles' hashes in this round.
    pub fn tile(&self) -> Hash {
        blake3::derive_key(context::TILE, &self.0)
    }

    /// Key of trees' inner nodes in this round.
    pub fn node(&self) -> Hash {
        blake3::derive_key(context::NODE, &self.0)
    }

    /// Key of the memory's labels.
    pub fn label(&self) -> Hash {
        blake3::derive_key(context::LABEL, &self.0)
    }

    /// Key of the hashes of groups of labels.
    pub fn group(&self) -> Hash {
        blake3::derive_key(context::GROUP, &self.0)
    }
}

/// What the asker keeps to itself until the roots are fixed: 32 fresh random bytes.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Secret(pub Hash);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn step(from: &Hash) -> Hash {
    blake3::derive_key(context::STEP, from)
}

impl Secret {
    /// What is shown before the walk: the secret's hash.
    pub fn walk(&self) -> Hash {
        step(&self.0)
    }

    /// What the statement says: that one's hash.
    pub fn promise(&self) -> Hash {
        step(&self.walk())
    }
}

/// Whether this is the walk's part of a promise.
pub fn is_walk_of(walk: &Hash, promise: &Hash) -> bool {
    step(walk) == *promise
}

/// Key of a walk's steps: nobody knows it before the memory's root is fixed.
pub fn walk_key(walk: &Hash, memory_root: &Hash) -> Hash {
    blake3::derive_key(context::WALK, &[*walk, *memory_root].concat())
}

/// Draws samples: an endless row of words from the secret and all that was fixed before it was shown.
#[derive(Debug)]
pub struct Draw(blake3::OutputReader);

impl Draw {
    /// `fixed` is the digest of the statement and of everything signed so far.
    pub fn new(secret: &Secret, fixed: &Hash) -> Self {
        let key = blake3::derive_key(context::DRAW, &[secret.0, *fixed].concat());
        Self(blake3::Hasher::new_keyed(&key).finalize_xof())
    }

    /// A number below `bound`, which is not 0. The skew of at most `bound / 2^32` is below a millionth for
    /// everything drawn here.
    pub fn below(&mut self, bound: u32) -> u32 {
        let mut word = [0; 4];
        self.0.fill(&mut word);
        scale(u32::from_le_bytes(word), bound)
    }
}

/// Maps a word to `0..bound`: the high half of their product, which a GPU computes as well.
pub fn scale(word: u32, bound: u32) -> u32 {
    let product = u64::from(word) * u64::from(bound);
    (product >> 32) as u32
}
