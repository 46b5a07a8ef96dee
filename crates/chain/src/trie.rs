//! The Merkle-Patricia trie: keys of 32 bytes, values as RLP, persistent by structural sharing.
//!
//! A [`Trie`] is one version. [`Trie::updated`] makes the next version and shares every untouched
//! node with it, so an older version stays valid as long as somebody holds it: a speculative child
//! of an unfinalised block costs only the nodes it changes, and proofs are read without a lock.
//! Decoded nodes and their hashes live in memory; a batch of sorted changes hashes each touched
//! node once, however many changes lie below it.
//!
//! Invariants: a branch has at least two children; an extension leads to a branch; the cached
//! reference of a leaf or extension belongs to the depth at which it hangs, so moving one to
//! another depth always makes a new node. Roots equal those of Ethereum's secure trie when the
//! caller hashes its keys.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Encodable, Header};
use alloy_trie::{EMPTY_ROOT_HASH, nodes::RlpNode};

/// Nibbles in a key.
const KEY_NIBBLES: usize = 64;

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

struct Node {
    kind: Kind,
    /// How a parent refers to this node: its RLP if shorter than 32 bytes, else the hash.
    reference: OnceLock<RlpNode>,
}

enum Kind {
    /// The whole key is kept; the path encoded is the part below the leaf's depth.
    Leaf {
        key: B256,
        value: Box<[u8]>,
    },
    /// Covers the nibbles from its own depth up to `end` of `key`; the child hangs at `end`.
    Extension {
        key: B256,
        end: usize,
        child: Arc<Node>,
    },
    Branch {
        children: Box<Children>,
    },
}

type Children = [Option<Arc<Node>>; 16];

impl Trie {
    /// Builds a trie from entries in ascending order of their keys, without duplicates.
    pub fn from_sorted<'a>(entries: impl IntoIterator<Item = (B256, &'a [u8])>) -> Self {
        let entries: Vec<_> = entries.into_iter().collect();
        Self { root: build(0, &entries) }
    }

    /// The next version. `changes` are in ascending order of their keys, without duplicates.
    #[must_use]
    pub fn updated(&self, changes: &[Change]) -> Self {
        debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes are sorted and unique");
        Self { root: update(self.root.as_ref(), 0, changes) }
    }

    /// Whether the trie has no entry.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The root hash; hashes what has changed since the versions it was made from.
    pub fn root(&self) -> B256 {
        let Some(root) = &self.root else { return EMPTY_ROOT_HASH };
        let reference = root.reference(0);
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// The value under `key`.
    pub fn get(&self, key: &B256) -> Option<&[u8]> {
        let mut node = self.root.as_ref()?;
        let mut depth = 0;
        loop {
            match &node.kind {
                Kind::Leaf { key: found, value } => return (found == key).then_some(&**value),
                Kind::Extension { key: prefix, end, child } => {
                    if shared_prefix(prefix, key, depth, *end) < *end {
                        return None;
                    }
                    (node, depth) = (child, *end);
                }
                Kind::Branch { children } => {
                    node = children[nibble(key, depth)].as_ref()?;
                    depth += 1;
                }
            }
        }
    }

    /// The nodes from the root towards `key`, as `eth_getProof` gives them: they prove the value,
    /// or that there is none. Nodes embedded in their parent are not repeated.
    pub fn proof(&self, key: &B256) -> Vec<Bytes> {
        let mut proof = Vec::new();
        let mut next = self.root.as_ref().map(|root| (root, 0));
        while let Some((node, depth)) = next {
            let mut rlp = Vec::new();
            node.encode(depth, &mut rlp);
            if depth == 0 || rlp.len() >= 32 {
                proof.push(rlp.into());
            }
            next = match &node.kind {
                Kind::Leaf { .. } => None,
                Kind::Extension { key: prefix, end, child } => {
                    (shared_prefix(prefix, key, depth, *end) == *end).then_some((child, *end))
                }
                Kind::Branch { children } => {
                    children[nibble(key, depth)].as_ref().map(|child| (child, depth + 1))
                }
            };
        }
        proof
    }
}

impl Node {
    fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, reference: OnceLock::new() })
    }

    fn reference(&self, depth: usize) -> &RlpNode {
        self.reference.get_or_init(|| {
            let mut rlp = Vec::with_capacity(self.encoded_capacity());
            self.encode(depth, &mut rlp);
            RlpNode::from_rlp(&rlp)
        })
    }

    fn encoded_capacity(&self) -> usize {
        match &self.kind {
            Kind::Leaf { value, .. } => value.len() + 40,
            Kind::Extension { .. } => 72,
            Kind::Branch { .. } => 16 * 33 + 4,
        }
    }

    fn encode(&self, depth: usize, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Leaf { key, value } => {
                let path = compact_path(key, depth, KEY_NIBBLES, true);
                let payload_length = path.as_slice().length() + value.length();
                Header { list: true, payload_length }.encode(out);
                path.as_slice().encode(out);
                value.encode(out);
            }
            Kind::Extension { key, end, child } => {
                let child = child.reference(*end);
                let path = compact_path(key, depth, *end, false);
                let payload_length = path.as_slice().length() + child.len();
                Header { list: true, payload_length }.encode(out);
                path.as_slice().encode(out);
                out.extend_from_slice(child);
            }
            Kind::Branch { children } => {
                let below = depth + 1;
                let mut payload_length = 1;
                for child in children.iter() {
                    payload_length += child.as_ref().map_or(1, |c| c.reference(below).len());
                }
                Header { list: true, payload_length }.encode(out);
                for child in children.iter() {
                    match child {
                        Some(child) => out.extend_from_slice(child.reference(below)),
                        None => out.push(alloy_rlp::EMPTY_STRING_CODE),
                    }
                }
                // Keys have one length, so no value ever ends at a branch.
                out.push(alloy_rlp::EMPTY_STRING_CODE);
            }
        }
    }

    /// The key of some leaf below; its prefix is the path to this node.
    fn any_key(&self) -> &B256 {
        match &self.kind {
            Kind::Leaf { key, .. } | Kind::Extension { key, .. } => key,
            Kind::Branch { children } => children
                .iter()
                .flatten()
                .next()
                .expect("a branch has at least two children")
                .any_key(),
        }
    }
}

fn update(node: Option<&Arc<Node>>, depth: usize, changes: &[Change]) -> Option<Arc<Node>> {
    if changes.is_empty() {
        return node.cloned();
    }
    match node.map(|node| &node.kind) {
        None => build(depth, &insertions(changes)),
        Some(Kind::Leaf { key, value }) => {
            let mut entries = insertions(changes);
            if changes.binary_search_by(|change| change.0.cmp(key)).is_err() {
                let at = entries.partition_point(|entry| entry.0 < *key);
                entries.insert(at, (*key, value));
            }
            build(depth, &entries)
        }
        Some(Kind::Extension { key, end, child }) => {
            update_extension(depth, (key, *end, child), changes)
        }
        Some(Kind::Branch { children }) => {
            let mut children = children.clone();
            update_children(&mut children, depth, changes);
            collapse(children, depth)
        }
    }
}

fn update_extension(
    depth: usize,
    (key, end, child): (&B256, usize, &Arc<Node>),
    changes: &[Change],
) -> Option<Arc<Node>> {
    // The changes are sorted, so the first or the last one leaves the extension's path earliest.
    let (first, last) = (&changes.first()?.0, &changes.last()?.0);
    let split = shared_prefix(key, first, depth, end).min(shared_prefix(key, last, depth, end));
    if split == end {
        return update(Some(child), end, changes).map(|node| lift(node, end, depth));
    }
    let rest = if split + 1 == end {
        Arc::clone(child)
    } else {
        Node::new(Kind::Extension { key: *key, end, child: Arc::clone(child) })
    };
    let mut children = Box::<Children>::default();
    children[nibble(key, split)] = Some(rest);
    update_children(&mut children, split, changes);
    collapse(children, split).map(|node| lift(node, split, depth))
}

fn update_children(children: &mut Children, depth: usize, changes: &[Change]) {
    for group in changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth)) {
        let slot = &mut children[nibble(&group[0].0, depth)];
        *slot = update(slot.as_ref(), depth + 1, group);
    }
}

/// A branch at `depth` in its proper form: nothing, the only child moved up, or the branch.
fn collapse(mut children: Box<Children>, depth: usize) -> Option<Arc<Node>> {
    let mut present = (0..16).filter(|&i| children[i].is_some());
    match (present.next(), present.next()) {
        (None, _) => None,
        (Some(only), None) => children[only].take().map(|child| lift(child, depth + 1, depth)),
        (Some(_), Some(_)) => Some(Node::new(Kind::Branch { children })),
    }
}

/// Moves a node that hangs at depth `from` up to depth `to`.
fn lift(node: Arc<Node>, from: usize, to: usize) -> Arc<Node> {
    if from == to {
        return node;
    }
    Node::new(match &node.kind {
        Kind::Leaf { key, value } => Kind::Leaf { key: *key, value: value.clone() },
        Kind::Extension { key, end, child } => {
            Kind::Extension { key: *key, end: *end, child: Arc::clone(child) }
        }
        Kind::Branch { .. } => {
            Kind::Extension { key: *node.any_key(), end: from, child: Arc::clone(&node) }
        }
    })
}

fn insertions(changes: &[Change]) -> Vec<(B256, &[u8])> {
    changes.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect()
}

fn build(depth: usize, entries: &[(B256, &[u8])]) -> Option<Arc<Node>> {
    let (first, last) = (entries.first()?, entries.last()?);
    if entries.len() == 1 {
        return Some(Node::new(Kind::Leaf { key: first.0, value: first.1.into() }));
    }
    let fork = shared_prefix(&first.0, &last.0, depth, KEY_NIBBLES);
    let mut children = Box::<Children>::default();
    for group in entries.chunk_by(|a, b| nibble(&a.0, fork) == nibble(&b.0, fork)) {
        children[nibble(&group[0].0, fork)] = build(fork + 1, group);
    }
    let branch = Node::new(Kind::Branch { children });
    Some(lift(branch, fork, depth))
}

fn nibble(key: &B256, index: usize) -> usize {
    usize::from(half(key, index))
}

/// The nibble as part of a byte.
fn half(key: &B256, index: usize) -> u8 {
    let byte = key[index / 2];
    if index.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
}

/// The first nibble in `from..to` at which the keys differ, or `to`.
fn shared_prefix(a: &B256, b: &B256, from: usize, to: usize) -> usize {
    let mut index = from;
    while index < to {
        if index.is_multiple_of(2) && index + 2 <= to && a[index / 2] == b[index / 2] {
            index += 2;
        } else if nibble(a, index) == nibble(b, index) {
            index += 1;
        } else {
            break;
        }
    }
    index
}

/// Hex-prefix encoding of the nibbles `from..to` of `key`.
fn compact_path(key: &B256, from: usize, to: usize, leaf: bool) -> CompactPath {
    let flag = if leaf { 0x20 } else { 0x00 };
    let mut path = CompactPath { bytes: [0; 33], len: 1 };
    let mut index = from;
    path.bytes[0] = flag;
    if !(to - from).is_multiple_of(2) {
        path.bytes[0] = flag | 0x10 | half(key, index);
        index += 1;
    }
    while index < to {
        path.bytes[path.len] = half(key, index) << 4 | half(key, index + 1);
        path.len += 1;
        index += 2;
    }
    path
}

struct CompactPath {
    bytes: [u8; 33],
    len: usize,
}

impl CompactPath {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests;
