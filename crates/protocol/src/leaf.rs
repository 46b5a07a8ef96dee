//! What a provider claims about tasks: leaves, their tally, and the manifest of a range.
//!
//! The chain checks leaves, so their hash is keccak256 over packed big-endian fields:
//!
//! ```text
//! leaf = keccak(0x00 | job u64 | index u32 | status u8 | output 32 bytes | size u64 | units u64)
//! node = keccak(0x01 | left hash | left tally u128 | right hash | right tally u128)
//! ```
//!
//! The tree over them and its proofs are in `tilth-verification`.

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    content::ContentHash,
    encoding::{DecodeError, decode, encode},
    id::{JobId, RangeId, TaskIndex},
};

/// Outputs of at most this many bytes are values inside the leaf; longer ones are blobs.
pub const INLINE_BYTES: usize = 32;
/// Index of the leaf that stands for a range's prepare phase. No task can have it.
pub const PREPARE_INDEX: TaskIndex = u32::MAX;
/// Most tasks in one range. Bounds a manifest to about 60 MB; the contract has the same cap.
pub const MAX_RANGE_TASKS: u32 = 1 << 20;
/// Encoded bytes of one leaf: index 4, status 1, output 32, size 8, units 8.
pub const LEAF_BYTES: usize = 53;
/// Encoded bytes of a manifest around its leaves.
const MANIFEST_OVERHEAD: usize = 64;

/// How a task ended. Everything but a host failure is a valid, deterministic result.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[borsh(use_discriminant = true)]
pub enum Status {
    /// The program finished and its output is what it wrote.
    Ok = 0,
    /// The program trapped (or ended with an error code); charged the full unit cap.
    Trap = 1,
    /// The program used up its unit cap.
    OutOfFuel = 2,
    /// The program wrote more than the job's output limit; charged the full unit cap.
    BadOutput = 3,
}

/// What a node of the tree sums up: units and tasks that did not end with [`Status::Ok`].
/// On chain it is one `uint128`: `failures << 64 | units`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of units.
    pub units: u64,
    /// Leaves whose status is not `Ok`.
    pub failures: u32,
}

impl Tally {
    /// The packed form that is hashed.
    pub fn packed(self) -> u128 {
        u128::from(self.failures) << 64 | u128::from(self.units)
    }

    /// The sum, or `None` when a part does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            units: self.units.checked_add(other.units)?,
            failures: self.failures.checked_add(other.failures)?,
        })
    }
}

/// What a provider claims about one task (or, with [`PREPARE_INDEX`], about the prepare phase).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
pub struct Leaf {
    /// Which task.
    pub index: TaskIndex,
    /// How it ended.
    pub status: Status,
    /// The output itself, zero-padded, if `size <= 32`; otherwise its BLAKE3 hash.
    pub output: [u8; 32],
    /// Length of the output in bytes; 0 unless the status is `Ok`.
    pub size: u64,
    /// Metered units.
    pub units: u64,
}

impl Leaf {
    /// The leaf of a task that finished with `output`.
    pub fn finished(index: TaskIndex, output: &[u8], units: u64) -> Self {
        let value = if output.len() <= INLINE_BYTES {
            let mut value = [0; 32];
            value[..output.len()].copy_from_slice(output);
            value
        } else {
            ContentHash::of(output).0
        };
        Self { index, status: Status::Ok, output: value, size: output.len() as u64, units }
    }

    /// The leaf of a task that ended without a result.
    pub fn failed(index: TaskIndex, status: Status, units: u64) -> Self {
        Self { index, status, output: [0; 32], size: 0, units }
    }

    /// What the leaf adds to the sums above it.
    pub fn tally(&self) -> Tally {
        Tally { units: self.units, failures: u32::from(self.status != Status::Ok) }
    }

    /// The output if it is inside the leaf. `None` if it is a blob.
    pub fn inline_output(&self) -> Option<&[u8]> {
        self.output.get(..usize::try_from(self.size).ok()?)
    }

    /// The hash of the output blob, if the output is one.
    pub fn blob(&self) -> Option<ContentHash> {
        (self.size > INLINE_BYTES as u64).then_some(ContentHash(self.output))
    }

    /// Whether fields agree with each other: failures have no output, inline values no stray bytes.
    pub fn is_well_formed(&self) -> bool {
        let empty_failure = self.status == Status::Ok || self.size == 0;
        let padded = self
            .inline_output()
            .is_none_or(|value| self.output[value.len()..].iter().all(|byte| *byte == 0));
        empty_failure && padded
    }

    /// The hash the chain computes for this leaf.
    pub fn hash(&self, job: JobId) -> B256 {
        let mut packed = [0_u8; 1 + 8 + 4 + 1 + 32 + 8 + 8];
        packed[1..9].copy_from_slice(&job.0.to_be_bytes());
        packed[9..13].copy_from_slice(&self.index.to_be_bytes());
        packed[13] = self.status as u8;
        packed[14..46].copy_from_slice(&self.output);
        packed[46..54].copy_from_slice(&self.size.to_be_bytes());
        packed[54..62].copy_from_slice(&self.units.to_be_bytes());
        keccak256(packed)
    }
}

/// The hash of an inner node.
pub fn node_hash(left: (B256, Tally), right: (B256, Tally)) -> B256 {
    let mut packed = [0_u8; 1 + 32 + 16 + 32 + 16];
    packed[0] = 1;
    packed[1..33].copy_from_slice(left.0.as_slice());
    packed[33..49].copy_from_slice(&left.1.packed().to_be_bytes());
    packed[49..81].copy_from_slice(right.0.as_slice());
    packed[81..97].copy_from_slice(&right.1.packed().to_be_bytes());
    keccak256(packed)
}

/// All leaves of a range, published by its provider: enough to recompute the root and to know every
/// output. The first leaf is the prepare phase's if the job has one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RangeManifest {
    /// The range.
    pub range: RangeId,
    /// First task.
    pub from: TaskIndex,
    /// What nobody else knows before the manifest is shown. The hash of what a range has made goes on chain when it is handed
    /// in: without it, whoever can guess the results of a range could see there whether the guess is right, and commit to
    /// it unworked. Any bytes will do for those who read.
    pub salt: [u8; 32],
    /// Leaves in task order.
    pub leaves: Vec<Leaf>,
}

impl RangeManifest {
    /// The blob's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Most bytes a manifest with so many leaves has.
    pub fn max_bytes(leaves: u32) -> usize {
        (leaves as usize).saturating_mul(LEAF_BYTES).saturating_add(MANIFEST_OVERHEAD)
    }

    /// Reads a manifest that should have `leaves` leaves.
    ///
    /// # Errors
    /// Longer than such a manifest can be, or not an encoding.
    pub fn from_bytes(bytes: &[u8], leaves: u32) -> Result<Self, DecodeError> {
        decode(bytes, Self::max_bytes(leaves))
    }

    /// Hashes of outputs that are blobs, in task order, duplicates kept: the children of the range's
    /// content sequence after the manifest itself.
    pub fn blobs(&self) -> impl Iterator<Item = ContentHash> + '_ {
        self.leaves.iter().filter_map(Leaf::blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_up_to_32_bytes_are_inline() {
        let leaf = Leaf::finished(3, &[9; 32], 1);
        assert_eq!(leaf.inline_output(), Some(&[9; 32][..]));
        assert_eq!(leaf.blob(), None);
        let leaf = Leaf::finished(3, &[9; 33], 1);
        assert_eq!(leaf.inline_output(), None);
        assert_eq!(leaf.blob(), Some(ContentHash::of(&[9; 33])));
        assert_eq!(Leaf::finished(0, &[], 1).inline_output(), Some(&[][..]));
    }

    #[test]
    fn stray_bytes_and_failures_with_output_are_malformed() {
        let mut leaf = Leaf::finished(0, &[1, 2], 1);
        assert!(leaf.is_well_formed());
        leaf.output[31] = 1;
        assert!(!leaf.is_well_formed());
        let mut leaf = Leaf::failed(0, Status::Trap, 5);
        assert!(leaf.is_well_formed());
        leaf.size = 1;
        assert!(!leaf.is_well_formed());
    }

    #[test]
    fn manifest_bounds_hold_for_its_own_encoding() {
        let range = RangeId { job: JobId(1), seq: 2 };
        let manifest = RangeManifest {
            range,
            from: 5,
            salt: [9; 32],
            leaves: vec![Leaf::finished(5, &[1], 7); 100],
        };
        let bytes = manifest.to_bytes();
        assert!(bytes.len() <= RangeManifest::max_bytes(100));
        assert_eq!(RangeManifest::from_bytes(&bytes, 100).unwrap(), manifest);
        assert!(RangeManifest::from_bytes(&bytes, 90).is_err());
    }
}
