//! The Merkle-Patricia trie: keys of 32 bytes, values as RLP, persistent by structural sharing.
//!
//! A [`Trie`] is one version. [`Trie::updated`] makes the next version and shares every untouched
//! node with it, so an older version stays valid as long as somebody holds it: a speculative child
//! of an unfinalised block costs only the nodes it changes, and proofs are read without a lock.
//! A batch of sorted changes hashes each touched node once, however many changes lie below it.
//!
//! A subtree need not be in memory: then its place holds the reference alone, and a [`Loader`]
//! finds its nodes when a change or a proof leads there. Reading does not keep what it loads.
//!
//! Small subtrees are kept in one piece, a *bundle*; what is new is hashed four nodes at a time.
//!
//! Invariants: a branch has at least two children; an extension leads to a branch in memory; the
//! cached reference of a bundle or extension belongs to the depth at which it hangs, so moving one to
//! another depth always makes a new node; a node's epoch is never below its children's. Roots equal
//! those of Ethereum's secure trie when the caller hashes its keys.

mod bundle;
mod checkpoint;
mod hash;
mod keccak;
mod load;
mod node;
mod path;
mod update;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

pub use checkpoint::NodeStore;
pub use load::{Loader, NoSource, NodeSource};
use node::{Kind, Node};
pub use path::Prefix;
use path::{nibble, shared_prefix};
pub(crate) use update::PARALLEL_MIN;

use crate::state::StateError;

/// For fuzzing, see [`crate::hostile`]: a record as it is written again after it was read.
pub(crate) fn record_again(record: &[u8], at: &Prefix) -> Option<Vec<u8>> {
    let node = load::decode(record, at, 0)?;
    load::encode(&node, at.depth())
}

/// One change of a batch: the key, and its new value or `None` to delete it.
pub type Change = (B256, Option<Vec<u8>>);

/// One version of a trie. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Trie {
    root: Option<Arc<Node>>,
}

impl std::fmt::Debug for Trie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trie").field(&self.root()).finish()
    }
}

impl Trie {
    /// Builds a trie from entries in ascending order of their keys, without duplicates.
    pub fn from_sorted<'a>(entries: impl IntoIterator<Item = (B256, &'a [u8])>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        let entries: Vec<_> = entries.iter().map(|(key, value)| (key, *value)).collect();
        Self { root: update::build(0, &entries, 0) }
    }

    /// A trie of which only the root hash is known; everything else is loaded when it is needed.
    pub fn stored(root: &B256) -> Self {
        Self { root: (*root != EMPTY_ROOT_HASH).then(|| load::stored_root(root, 0)) }
    }

    /// The next version. `changes` are in ascending order of their keys, without duplicates.
    ///
    /// # Errors
    /// When a node that is not in memory cannot be loaded.
    pub fn updated(&self, changes: &[Change], loader: &Loader<'_>) -> Result<Self, StateError> {
        debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes are sorted and unique");
        Ok(Self { root: update::update(loader, self.root.as_ref(), 0, changes)? })
    }

    /// Whether the trie has no entry.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Nodes in memory, counting those shared with other versions.
    pub fn resident(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.resident as usize)
    }

    /// The root hash; hashes what has changed since the versions it was made from.
    pub fn root(&self) -> B256 {
        let Some(root) = &self.root else { return EMPTY_ROOT_HASH };
        hash::all(root, 0);
        let reference = root.reference(0);
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// The value under `key`.
    pub fn get(&self, key: &B256, loader: &Loader<'_>) -> Result<Option<Vec<u8>>, StateError> {
        let mut found = None;
        self.descend(key, loader, |node, _| {
            if let Kind::Bundle(bundle) = &node.kind {
                found = bundle.get(key).map(<[u8]>::to_vec);
            }
        })?;
        Ok(found)
    }

    /// The nodes from the root towards `key`, as `eth_getProof` gives them: they prove the value,
    /// or that there is none. Nodes embedded in their parent are not repeated.
    pub fn proof(&self, key: &B256, loader: &Loader<'_>) -> Result<Vec<Bytes>, StateError> {
        let mut proof = Vec::new();
        let mut add = |rlp: &[u8], depth| {
            if depth == 0 || rlp.len() >= 32 {
                proof.push(Bytes::copy_from_slice(rlp));
            }
        };
        self.descend(key, loader, |node, depth| match &node.kind {
            Kind::Bundle(bundle) => bundle.visit(key, depth, &mut add),
            _ => {
                let mut rlp = Vec::new();
                node.encode(depth, &mut rlp);
                add(&rlp, depth);
            }
        })?;
        Ok(proof)
    }

    fn descend(
        &self,
        key: &B256,
        loader: &Loader<'_>,
        mut visit: impl FnMut(&Node, usize),
    ) -> Result<(), StateError> {
        let mut next = self.root.clone().map(|root| (root, 0));
        while let Some((node, depth)) = next {
            let Some(node) = loader.resolve(&node, depth)? else { break };
            visit(&node, depth);
            next = match &node.kind {
                Kind::Bundle(_) | Kind::Stored { .. } => None,
                Kind::Extension { key: prefix, end, child } => {
                    (shared_prefix(prefix, key, depth, *end) == *end)
                        .then(|| (Arc::clone(child), *end))
                }
                Kind::Branch { children } => {
                    children[nibble(key, depth)].clone().map(|child| (child, depth + 1))
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
