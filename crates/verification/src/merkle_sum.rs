//! The Merkle-sum tree of a range.
//!
//! Leaves are paired left to right, level by level; an odd last node moves up unchanged. A node's
//! hash covers both children's hashes *and tallies*, so the root fixes every partial sum. A root
//! whose tally is not the sum of its leaves cannot be opened at all: wherever the false addition
//! stands, each opening that passes it recomputes the sum and arrives at another hash or tally.
//!
//! `contracts/src/MerkleSum.sol` is the same algorithm; both read `vectors/merkle_sum.json`.

use alloy_primitives::B256;
use tilth_protocol::{JobId, Leaf, Tally, leaf::node_hash};

/// Root hash and tally: what a provider submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Hash of the top node.
    pub hash: B256,
    /// Sum over all leaves.
    pub tally: Tally,
}

/// The siblings of one leaf from the bottom up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Position of the leaf among the range's leaves (0 is the prepare leaf where there is one).
    pub position: u32,
    /// Number of leaves of the range.
    pub leaves: u32,
    /// Siblings, bottom-up; a level on which the node has no sibling is left out.
    pub siblings: Vec<(B256, Tally)>,
}

/// A whole tree, kept by the provider (and rebuilt by whoever has the leaves).
#[derive(Clone, Debug)]
pub struct MerkleSum {
    /// Levels from the leaves to the root; each non-empty.
    levels: Vec<Vec<(B256, Tally)>>,
}

/// Why a tree could not be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeError {
    /// A range has at least one task.
    #[error("a range without leaves has no root")]
    Empty,
    /// The units of the leaves do not fit 64 bits.
    #[error("the sum of the leaves' units does not fit 64 bits")]
    Overflow,
}

impl MerkleSum {
    /// Builds the tree of a job's leaves in range order.
    ///
    /// # Errors
    /// No leaves, or a unit sum above 64 bits.
    pub fn build(job: JobId, leaves: &[Leaf]) -> Result<Self, TreeError> {
        let bottom: Vec<_> = leaves.iter().map(|leaf| (leaf.hash(job), leaf.tally())).collect();
        if bottom.is_empty() {
            return Err(TreeError::Empty);
        }
        let mut levels = vec![bottom];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.chunks(2).map(join).collect::<Option<Vec<_>>>();
            levels.push(above.ok_or(TreeError::Overflow)?);
        }
        Ok(Self { levels })
    }

    /// The root.
    pub fn root(&self) -> Root {
        let (hash, tally) = self.levels[self.levels.len() - 1][0];
        Root { hash, tally }
    }

    /// Number of leaves.
    pub(crate) fn count(&self) -> u32 {
        // A range has fewer than 2^21.
        u32::try_from(self.levels[0].len()).unwrap_or(u32::MAX)
    }

    /// The nodes of a level, from left to right; level 0 are the leaves.
    pub(crate) fn level(&self, level: u32) -> Option<&[(B256, Tally)]> {
        self.levels.get(usize::try_from(level).ok()?).map(Vec::as_slice)
    }

    /// The opening of the leaf at `position`, or `None` outside the range.
    pub fn open(&self, position: u32) -> Option<Opening> {
        let bottom = &self.levels[0];
        let mut at = usize::try_from(position).ok().filter(|at| *at < bottom.len())?;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            if let Some(sibling) = level.get(at ^ 1) {
                siblings.push(*sibling);
            }
            at /= 2;
        }
        Some(Opening { position, leaves: u32::try_from(bottom.len()).ok()?, siblings })
    }

    /// The position of the leaf that a unit belongs to, when the leaves' units stand in a row: the descent
    /// from the root by the sums of the nodes. `None` from the range's units on.
    pub fn position_of_unit(&self, unit: u64) -> Option<u32> {
        let mut rest = Some(unit).filter(|unit| *unit < self.root().tally.units)?;
        let mut at = 0;
        for level in self.levels.iter().rev().skip(1) {
            at *= 2;
            // A node that went up alone has all the units, so its neighbour is never asked for.
            let left = level[at].1.units;
            if rest >= left {
                rest -= left;
                at += 1;
            }
        }
        u32::try_from(at).ok()
    }
}

pub(crate) fn join(pair: &[(B256, Tally)]) -> Option<(B256, Tally)> {
    match *pair {
        [only] => Some(only),
        [left, right] => Some((node_hash(left, right), left.1.checked_add(right.1)?)),
        _ => None,
    }
}

impl Opening {
    /// Whether `leaf` of `job` stands at this opening's position under `root`.
    pub fn proves(&self, job: JobId, leaf: &Leaf, root: &Root) -> bool {
        self.compute(job, leaf).is_some_and(|computed| computed == *root)
    }

    /// The root this opening leads to; `None` if it has the wrong number of siblings, or sums that
    /// do not fit.
    fn compute(&self, job: JobId, leaf: &Leaf) -> Option<Root> {
        let mut node = (leaf.hash(job), leaf.tally());
        let mut siblings = self.siblings.iter();
        for on_the_left in self.sides()? {
            let sibling = *siblings.next()?;
            let (left, right) = if on_the_left { (sibling, node) } else { (node, sibling) };
            node = (node_hash(left, right), left.1.checked_add(right.1)?);
        }
        siblings.next().is_none().then_some(Root { hash: node.0, tally: node.1 })
    }

    /// Units of all leaves before this one: the sums of the siblings on its left. `None` if there are too few or
    /// too many siblings, or the sum does not fit.
    pub fn units_before(&self) -> Option<u64> {
        let sides = self.sides()?;
        if sides.len() != self.siblings.len() {
            return None;
        }
        let on_the_left = sides.iter().zip(&self.siblings).filter(|(left, _)| **left);
        on_the_left.map(|(_, sibling)| sibling.1.units).try_fold(0, u64::checked_add)
    }

    /// For every sibling, from the leaf upwards, whether it is on the left. `None` outside the tree.
    fn sides(&self) -> Option<Vec<bool>> {
        let (mut at, mut width) = (self.position, self.leaves);
        if at >= width {
            return None;
        }
        let mut sides = Vec::new();
        while width > 1 {
            if at ^ 1 < width {
                sides.push(at & 1 == 1);
            }
            at /= 2;
            width = width.div_ceil(2);
        }
        Some(sides)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tilth_protocol::Status;

    use super::*;

    const JOB: JobId = JobId(7);

    fn leaves(count: u32) -> Vec<Leaf> {
        (0..count)
            .map(|index| match index % 5 {
                4 => Leaf::failed(index, Status::Trap, 100),
                _ => Leaf::finished(index, &index.to_le_bytes(), u64::from(index) + 1),
            })
            .collect()
    }

    #[test]
    fn tree_without_leaves_is_refused() {
        assert_eq!(MerkleSum::build(JOB, &[]).unwrap_err(), TreeError::Empty);
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let leaf = Leaf::failed(0, Status::Trap, u64::MAX);
        assert_eq!(MerkleSum::build(JOB, &[leaf, leaf]).unwrap_err(), TreeError::Overflow);
    }

    #[test]
    fn root_sums_units_and_failures() {
        let leaves = leaves(23);
        let root = MerkleSum::build(JOB, &leaves).unwrap().root();
        assert_eq!(root.tally.units, leaves.iter().map(|leaf| leaf.units).sum::<u64>());
        assert_eq!(root.tally.failures, 4);
    }

    proptest! {
        #[test]
        fn every_leaf_opens_and_nothing_else_does(count in 1_u32..80, other: u32, flip in 0_usize..3) {
            let leaves = leaves(count);
            let tree = MerkleSum::build(JOB, &leaves).unwrap();
            let root = tree.root();
            for (position, leaf) in (0..).zip(&leaves) {
                let opening = tree.open(position).unwrap();
                prop_assert!(opening.proves(JOB, leaf, &root));
                prop_assert!(!opening.proves(JobId(8), leaf, &root));
                let wrong = leaves[(position as usize + 1) % leaves.len()];
                prop_assert!(count == 1 || !opening.proves(JOB, &wrong, &root));
                let mut changed = *leaf;
                match flip {
                    0 => changed.units += 1,
                    1 => changed.output[0] ^= 1,
                    _ => changed.status = Status::BadOutput,
                }
                prop_assert!(!opening.proves(JOB, &changed, &root));
                let mut moved = opening.clone();
                moved.position = other % count;
                prop_assert!(moved.position == position || !moved.proves(JOB, leaf, &root));
                let mut longer = opening.clone();
                longer.siblings.push((root.hash, root.tally));
                prop_assert!(!longer.proves(JOB, leaf, &root));
            }
            prop_assert!(tree.open(count).is_none());
        }

        #[test]
        fn a_root_with_a_lying_sum_cannot_be_opened(count in 2_u32..40, extra in 1_u64..1000) {
            let leaves = leaves(count);
            let tree = MerkleSum::build(JOB, &leaves).unwrap();
            let mut lying = tree.root();
            lying.tally.units += extra;
            for (position, leaf) in (0..).zip(&leaves) {
                prop_assert!(!tree.open(position).unwrap().proves(JOB, leaf, &lying));
            }
        }
    }
}
