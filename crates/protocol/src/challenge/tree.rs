//! The tree over what was computed: keyed BLAKE3 of two children; the last node of an odd level goes up
//! unchanged. The number of leaves is known from the statement, so no shape is ambiguous.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::Hash;

/// Siblings from a leaf to the root.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(transparent)]
pub struct Path(pub Vec<Hash>);

/// The node above two.
pub fn join(key: &Hash, left: &Hash, right: &Hash) -> Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    *blake3::keyed_hash(key, &both).as_bytes()
}

/// The level above `level`.
pub fn level_above(key: &Hash, level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => join(key, left, right),
            [single] => *single,
            _ => unreachable!("chunks of two have one or two"),
        })
        .collect()
}

/// The root that a leaf and its path lead to. `None`: the path is too short or too long for this leaf.
pub fn climb(key: &Hash, leaf: &Hash, index: u64, count: u64, path: &Path) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let (mut index, mut count, mut node) = (index, count, *leaf);
    let mut siblings = path.0.iter();
    while count > 1 {
        if index ^ 1 < count {
            let sibling = siblings.next()?;
            node = match index & 1 {
                0 => join(key, &node, sibling),
                _ => join(key, sibling, &node),
            };
        }
        (index, count) = (index >> 1, count.div_ceil(2));
    }
    siblings.next().is_none().then_some(node)
}

/// A whole tree in memory: 64 bytes a leaf.
#[derive(Clone, Debug)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Builds it over at least one leaf.
    ///
    /// # Panics
    /// Without leaves.
    pub fn new(key: &Hash, leaves: Vec<Hash>) -> Self {
        assert!(!leaves.is_empty(), "a tree has leaves");
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level_above(key, level));
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    /// The leaf's path. `None` if there is no such leaf.
    pub fn path(&self, index: u64) -> Option<Path> {
        let mut index = usize::try_from(index).ok()?;
        self.levels[0].get(index)?;
        let mut path = Vec::new();
        for level in &self.levels {
            path.extend(level.get(index ^ 1));
            index >>= 1;
        }
        Some(Path(path))
    }
}
