//! Walking down two Merkle-sum trees of one shape to the first leaf in which they differ.
//!
//! Two providers of a range have found different roots. Step by step each shows the nodes that fold to its own node, at
//! most 16 at a time; the first ones that differ are next, until it is a leaf.
//!
//! ```text
//! level 0 are the leaves; node i of level l stands over the leaves i << l .. (i + 1) << l, as far as there are any
//! step    down LEVELS levels, or to the leaves if they are nearer
//! fold    pair from left to right, level by level, an odd last node goes up unchanged, until one node is left
//! mark    keccak256(hash 32 | units u64 | failures u32): what stands for a node
//! ```
//!
//! Nodes that fold to a node are the only ones that do: its hash commits to the hashes and the tallies below it. So a
//! mark is all that must be kept of each tree, and a list proves itself. The mark of the top is what a provider has sealed
//! ([`Found::answer`]), with the sums that it has declared: if they are not those of its leaves, no list of its folds.
//!
//! `contracts/src/libraries/Walk.sol` holds the same rules; both are held to `vectors/trust.json`.

use alloy_primitives::B256;
use tilth_protocol::Tally;

use crate::{
    merkle_sum::{MerkleSum, join},
    replica::Found,
};

/// Levels of a step.
pub const LEVELS: u32 = 4;
/// Time for a move of a walk, seconds. Who posts its nodes first begins it anew.
pub const WALK_TIME_S: u32 = 1_800;

/// Rate of a case that is about the leaf at which a walk has ended, in billionths: more than all, by which it is told
/// apart.
pub const DISPUTED_RATE: u32 = 2_000_000_000;

/// A node: its hash, and the sums over the leaves below it.
pub type Node = (B256, Tally);

/// Where a node is. The default is the first leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Levels above the leaves.
    pub level: u32,
    /// Its place in its level, from 0.
    pub index: u32,
}

/// The nodes of a step: `count` in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Their level.
    pub level: u32,
    /// Index of the first one.
    pub first: u32,
    /// How many they are, from 1 to 16.
    pub count: u32,
}

impl Place {
    /// The top of a tree with so many leaves.
    pub const fn top(leaves: u32) -> Self {
        Self { level: u32::BITS - leaves.saturating_sub(1).leading_zeros(), index: 0 }
    }

    /// Whether the walk has arrived.
    pub const fn is_leaf(self) -> bool {
        self.level == 0
    }

    /// The nodes of the next step below this one in a tree with so many leaves. `None`: there is no such node.
    pub fn below(self, leaves: u32) -> Option<Step> {
        let levels = self.level.min(LEVELS);
        let level = self.level - levels;
        let first = u64::from(self.index) << levels;
        let width = u64::from(leaves).checked_sub(1)?.checked_shr(level)?.checked_add(1)?;
        let count = width.checked_sub(first).filter(|count| *count > 0)?.min(1 << levels);
        Some(Step { level, first: u32::try_from(first).ok()?, count: u32::try_from(count).ok()? })
    }
}

impl Step {
    /// The place of one of its nodes. `None`: it has not so many.
    pub fn place(self, at: usize) -> Option<Place> {
        let at = u32::try_from(at).ok().filter(|at| *at < self.count)?;
        Some(Place { level: self.level, index: self.first.checked_add(at)? })
    }
}

impl MerkleSum {
    /// The nodes of the step below a node. `None`: there is no such node.
    pub fn below(&self, place: Place) -> Option<&[Node]> {
        let step = place.below(self.count())?;
        let first = usize::try_from(step.first).ok()?;
        let end = first.checked_add(usize::try_from(step.count).ok()?)?;
        self.level(step.level)?.get(first..end)
    }
}

/// What stands for a node.
pub fn mark((hash, tally): Node) -> B256 {
    Found { root: hash, units: tally.units, failures: tally.failures }.answer()
}

/// The node that nodes fold to. `None`: there are none, or their sums do not fit.
pub fn fold(nodes: &[Node]) -> Option<Node> {
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(join).collect::<Option<_>>()?;
    }
    level.first().copied()
}

/// The first place in which two lists of nodes differ.
pub fn first_difference(ours: &[Node], theirs: &[Node]) -> Option<usize> {
    ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs)
}

#[cfg(test)]
mod tests;
