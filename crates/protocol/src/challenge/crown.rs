//! A memory's tree without its lowest levels: they are hashed anew from the labels when something is opened, so the tree takes
//! a 256th of the labels' room and not a quarter. A device may so fill nearly all of its memory with labels.

use super::{
    Hash, LabelOpening, Path, Tree,
    memory::{GROUP, GROUP_BYTES, LABEL_BYTES, group_hash},
    prove::MemoryKeys,
};

/// Groups below one node that is kept. A power of two: what is below such a node is a whole piece of the tree. 64 groups
/// are 16 KiB of labels, which an opening reads; more would make openings slow, fewer the tree large.
pub const KEPT: u32 = 64;
/// Labels below one node that is kept.
pub const KEPT_LABELS: u32 = KEPT * GROUP;
/// Bytes of those labels.
pub const KEPT_BYTES: usize = KEPT_LABELS as usize * LABEL_BYTES;

/// The piece of the tree over these labels, at most [`KEPT_BYTES`] of whole groups.
fn piece(keys: &MemoryKeys, labels: &[u8]) -> Tree {
    let leaves = labels.chunks(GROUP_BYTES).map(|group| group_hash(&keys.group, group));
    Tree::new(&keys.node, leaves.collect())
}

/// The node above these labels: at least one group, at most [`KEPT_BYTES`].
pub fn node_above(keys: &MemoryKeys, labels: &[u8]) -> Hash {
    piece(keys, labels).root()
}

/// The upper levels.
#[derive(Clone, Debug)]
pub struct Crown {
    keys: MemoryKeys,
    tree: Tree,
}

impl Crown {
    /// Builds them over the nodes of all pieces, in order; at least one.
    pub fn new(keys: &MemoryKeys, nodes: Vec<Hash>) -> Self {
        Self { keys: *keys, tree: Tree::new(&keys.node, nodes) }
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Number of the first label of the piece in which the label with this number is.
    pub fn piece_of(label: u64) -> u64 {
        label - label % u64::from(KEPT_LABELS)
    }

    /// The group of the label with this number and its path, given all labels of its piece. `None` if they are not there.
    pub fn open(&self, label: u64, labels: &[u8]) -> Option<LabelOpening> {
        let within = label % u64::from(KEPT_LABELS) / u64::from(GROUP);
        let group = labels.chunks_exact(GROUP_BYTES).nth(usize::try_from(within).ok()?)?;
        let Path(mut path) = piece(&self.keys, labels).path(within)?;
        path.extend(self.tree.path(label / u64::from(KEPT_LABELS))?.0);
        Some(LabelOpening { group: group.to_vec(), path: Path(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::tree::climb;

    /// Every opening is the one of the whole tree, whatever the number of groups.
    #[test]
    fn a_crown_opens_as_the_whole_tree_does() {
        let keys = MemoryKeys { label: [1; 32], group: [2; 32], node: [3; 32] };
        for groups in [1, 8, 63, 64, 65, 127, 160, 200, 64 * 5 + 1] {
            let byte = |at: usize| u8::try_from(at % 251).unwrap();
            let bytes: Vec<u8> = (0..groups * GROUP_BYTES).map(byte).collect();
            let leaves: Vec<Hash> =
                bytes.chunks(GROUP_BYTES).map(|group| group_hash(&keys.group, group)).collect();
            let whole = Tree::new(&keys.node, leaves.clone());
            let nodes = bytes.chunks(KEPT_BYTES).map(|labels| node_above(&keys, labels)).collect();
            let crown = Crown::new(&keys, nodes);
            assert_eq!(crown.root(), whole.root(), "{groups}");
            for (number, leaf) in (0..).zip(&leaves) {
                let label = number * u64::from(GROUP) + 3;
                let first = Crown::piece_of(label);
                let from = usize::try_from(first).unwrap() * LABEL_BYTES;
                let labels = &bytes[from..bytes.len().min(from + KEPT_BYTES)];
                let opening = crown.open(label, labels).unwrap();
                assert_eq!(
                    Some(&opening.path),
                    whole.path(number).as_ref(),
                    "{number} of {groups}"
                );
                let count = leaves.len() as u64;
                assert_eq!(
                    climb(&keys.node, leaf, number, count, &opening.path),
                    Some(whole.root())
                );
                assert_eq!(group_hash(&keys.group, &opening.group), *leaf);
            }
            assert!(crown.open(u64::from(GROUP) * groups as u64, &[]).is_none());
        }
    }
}
