//! Nodes that are not in memory: where they come from, and the form in which upper ones are kept.
//!
//! A subtree of at most [`FLAT_MAX`] entries is never stored: it is rebuilt from its entries, which
//! the flat state has in the trie's order anyway. Above that, a *record* holds a branch (with the
//! extension it hangs on, if any): for each child its reference and the number of entries below.

use std::sync::Arc;

use alloy_primitives::B256;
use alloy_trie::nodes::RlpNode;

use super::{
    hash,
    node::{Children, Kind, Node, UNKNOWN},
    path::{KEY_NIBBLES, Prefix, half},
    update::build,
};
use crate::state::StateError;

/// Entries up to which a subtree is rebuilt from the flat state instead of being stored: those of a bundle.
///
/// Of 300,000 keys those with the same first three nibbles are about 73, and hardly ever more than this: then
/// 4,096 bundles hold them all, and what hangs above stays in the processor's cache.
pub(super) const FLAT_MAX: u32 = 128;

/// Where a trie's nodes are loaded from.
pub trait NodeSource: Sync {
    /// The record stored for the node that hangs at `at`, if there is one.
    fn record(&self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError>;
    /// All entries below `at` in ascending order of their keys.
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError>;
}

/// A source without anything: for tries that are wholly in memory.
#[derive(Clone, Copy, Debug)]
pub struct NoSource;

impl NodeSource for NoSource {
    fn record(&self, _: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }
    fn entries(&self, _: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        Ok(Vec::new())
    }
}

/// How nodes are found while a trie is read or changed.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    pub(super) source: &'a dyn NodeSource,
    /// Given to the nodes that are made or loaded.
    pub(super) epoch: u32,
    /// The entries may already be those of a later state than the trie's.
    pub(super) ahead: bool,
    /// Threads a large batch may use.
    pub(super) threads: usize,
}

impl std::fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl<'a> Loader<'a> {
    /// Loads from a source that stands exactly where the trie does; every node loaded is checked
    /// against the hash it is known by.
    pub fn new(source: &'a dyn NodeSource) -> Self {
        Self { source, epoch: 0, ahead: false, threads: 1 }
    }

    /// Stamps nodes with `epoch`, which never decreases from one version to the next.
    #[must_use]
    pub fn at_epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// Lets large batches use this many threads. The result is the same for every number.
    #[must_use]
    pub fn on_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The source's records are those of the trie, but its entries are those of a later state: the
    /// changes in between must all be applied, and the root compared, before anything is trusted.
    #[must_use]
    pub fn with_entries_ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// The node itself, or what a stored node stands for. `None` only if entries are ahead and
    /// there are none left.
    pub(super) fn resolve(
        &self,
        node: &Arc<Node>,
        depth: usize,
    ) -> Result<Option<Arc<Node>>, StateError> {
        let Kind::Stored { at } = &node.kind else { return Ok(Some(Arc::clone(node))) };
        debug_assert_eq!(at.depth(), depth, "a stored node stays where it hangs");
        if node.leaves > FLAT_MAX
            && let Some(record) = self.source.record(at)?
        {
            let loaded = decode(&record, at, self.epoch).ok_or(DAMAGED)?;
            return if stands_for(node, &loaded, depth) { Ok(Some(loaded)) } else { Err(DAMAGED) };
        }
        let entries = self.source.entries(at)?;
        let (first, last) = (at.first(), at.last());
        let is_sound = entries.is_sorted_by(|a, b| a.0 < b.0)
            && entries.first().is_none_or(|entry| entry.0 >= first)
            && entries.last().is_none_or(|entry| entry.0 <= last);
        if !is_sound {
            return Err(DAMAGED);
        }
        let entries: Vec<_> = entries.iter().map(|(key, value)| (key, value.as_slice())).collect();
        let loaded = build(depth, &entries, self.epoch);
        if self.ahead {
            // Nothing to compare with: what is to be changed anyway is hashed once, when it has been.
            return Ok(loaded);
        }
        if let Some(loaded) = &loaded {
            hash::all(loaded, depth);
        }
        let is_right = loaded.as_ref().is_some_and(|loaded| stands_for(node, loaded, depth));
        if is_right { Ok(loaded) } else { Err(DAMAGED) }
    }
}

const DAMAGED: StateError = StateError::Damaged { what: "trie node" };

/// Whether `loaded` is the node that the reference of `stored` means. (The root's is its hash like any other:
/// with keys of 32 bytes no root is shorter than that.)
fn stands_for(stored: &Node, loaded: &Node, depth: usize) -> bool {
    stored.reference(depth) == loaded.reference(depth)
}

/// The record of a node that hangs at `depth`, if it is a branch or leads to one.
pub(super) fn encode(node: &Node, depth: usize) -> Option<Vec<u8>> {
    let (key, end, children) = match &node.kind {
        Kind::Branch { children } => (None, depth, children),
        Kind::Extension { key, end, child } => match &child.kind {
            Kind::Branch { children } => (Some(key), *end, children),
            _ => return None,
        },
        Kind::Bundle(_) | Kind::Stored { .. } => return None,
    };
    let mut record = Vec::with_capacity(16 * 38 + 4);
    record.push(u8::try_from(end - depth).ok()?);
    record.extend(key.into_iter().flat_map(|key| (depth..end).map(|i| half(key, i))));
    for child in children.iter() {
        match child {
            None => record.push(0),
            Some(child) => {
                let reference = child.reference(end + 1);
                record.push(u8::try_from(reference.len()).ok()?);
                record.extend_from_slice(reference);
                record.extend_from_slice(&child.leaves.to_be_bytes());
            }
        }
    }
    Some(record)
}

/// A record taken apart: where the branch hangs, and its children's references and entry counts.
pub(super) struct Record {
    pub(super) branch: Prefix,
    pub(super) children: [Option<(RlpNode, u32)>; 16],
}

impl Record {
    /// `None` if the bytes are no record of a node at `at`.
    pub(super) fn decode(mut bytes: &[u8], at: &Prefix) -> Option<Self> {
        let skipped = usize::from(*bytes.split_off_first()?);
        if at.depth() + skipped >= KEY_NIBBLES {
            return None;
        }
        let mut branch = *at;
        for nibble in bytes.split_off(..skipped)? {
            branch = (*nibble < 16).then(|| branch.child(*nibble))?;
        }
        let mut children: [Option<(RlpNode, u32)>; 16] = Default::default();
        for child in &mut children {
            let length = usize::from(*bytes.split_off_first()?);
            if length > 0 {
                let reference = RlpNode::from_raw(bytes.split_off(..length)?)?;
                let leaves = u32::from_be_bytes(bytes.split_off(..4)?.try_into().ok()?);
                *child = Some((reference, leaves));
            }
        }
        let count = children.iter().flatten().count();
        (bytes.is_empty() && count >= 2).then_some(Self { branch, children })
    }
}

pub(super) fn decode(bytes: &[u8], at: &Prefix, epoch: u32) -> Option<Arc<Node>> {
    let record = Record::decode(bytes, at)?;
    let mut children = Box::<Children>::default();
    for (nibble, (slot, child)) in (0_u8..).zip(children.iter_mut().zip(record.children)) {
        if let Some((reference, leaves)) = child {
            *slot = Some(Node::stored(record.branch.child(nibble), reference, leaves, epoch));
        }
    }
    let branch = Node::new(Kind::Branch { children }, epoch);
    let end = record.branch.depth();
    Some(if end == at.depth() {
        branch
    } else {
        Node::new(Kind::Extension { key: *record.branch.key(), end, child: branch }, epoch)
    })
}

/// The root of a trie that is known by its hash alone.
pub(super) fn stored_root(hash: &B256, epoch: u32) -> Arc<Node> {
    Node::stored(Prefix::ROOT, RlpNode::word_rlp(hash), UNKNOWN, epoch)
}
