//! Nodes in memory and their encoding.

use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::nodes::RlpNode;

use super::{
    bundle::Bundle,
    path::{KEY_NIBBLES, Prefix, compact_path},
};

pub(super) struct Node {
    /// How a parent refers to this node: its RLP if shorter than 32 bytes, else the hash.
    reference: OnceLock<RlpNode>,
    /// Entries below, saturating. [`UNKNOWN`] for the root of a stored trie before it is loaded.
    pub(super) leaves: u32,
    /// Nodes in memory from here down, this one included; a bundle counts its entries.
    pub(super) resident: u32,
    /// When the node was made or loaded; never earlier than any node below it.
    pub(super) epoch: u32,
    pub(super) kind: Kind,
}

/// A count of leaves that nobody has counted.
pub(super) const UNKNOWN: u32 = u32::MAX;

pub(super) enum Kind {
    /// A small subtree as a whole, a single leaf in the simplest case.
    Bundle(Bundle),
    /// Covers the nibbles from its own depth up to `end` of `key`; the child hangs at `end` and is
    /// a branch in memory.
    Extension { key: B256, end: usize, child: Arc<Node> },
    /// At least two children.
    Branch { children: Box<Children> },
    /// A node that is not in memory. `at` is where it hangs; the reference is always known.
    Stored { at: Box<Prefix> },
}

pub(super) type Children = [Option<Arc<Node>>; 16];

impl Node {
    pub(super) fn new(kind: Kind, epoch: u32) -> Arc<Self> {
        Self::with_reference(kind, epoch, OnceLock::new())
    }

    fn with_reference(kind: Kind, epoch: u32, reference: OnceLock<RlpNode>) -> Arc<Self> {
        let (leaves, resident) = match &kind {
            Kind::Bundle(bundle) => (bundle.len(), bundle.len()),
            Kind::Stored { .. } => (UNKNOWN, 1),
            Kind::Extension { child, .. } => (child.leaves, child.resident.saturating_add(1)),
            Kind::Branch { children } => {
                children.iter().flatten().fold((0_u32, 1_u32), |(leaves, resident), child| {
                    (leaves.saturating_add(child.leaves), resident.saturating_add(child.resident))
                })
            }
        };
        Arc::new(Self { reference, leaves, resident, epoch, kind })
    }

    /// A branch with other children in memory but the same content.
    pub(super) fn same_content(&self, kind: Kind) -> Arc<Self> {
        Self::with_reference(kind, self.epoch, self.reference.clone())
    }

    /// A node that is not in memory.
    pub(super) fn stored(at: Prefix, reference: RlpNode, leaves: u32, epoch: u32) -> Arc<Self> {
        let kind = Kind::Stored { at: Box::new(at) };
        Arc::new(Self { reference: reference.into(), leaves, resident: 1, epoch, kind })
    }

    /// The place of the reference, empty until somebody has hashed the node.
    pub(super) fn reference_cell(&self) -> &OnceLock<RlpNode> {
        &self.reference
    }

    /// The reference; hashed now if need be, and so is what lies below.
    pub(super) fn reference(&self, depth: usize) -> &RlpNode {
        self.reference.get_or_init(|| {
            let mut rlp = Vec::with_capacity(BRANCH_BYTES_MAX);
            self.encode(depth, &mut rlp);
            RlpNode::from_rlp(&rlp)
        })
    }

    /// The node's RLP. A stored node has none in memory; its reference is set from the start, so
    /// it is never asked.
    pub(super) fn encode(&self, depth: usize, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Bundle(bundle) => bundle.encode(depth, out),
            Kind::Extension { key, end, child } => {
                encode_extension(key, depth, *end, child.reference(*end), out);
            }
            Kind::Branch { children } => {
                let below = depth + 1;
                encode_branch(
                    |index| children[index].as_ref().map(|child| child.reference(below)),
                    out,
                );
            }
            Kind::Stored { .. } => debug_assert!(false, "a stored node's reference is known"),
        }
    }

    /// A key below; its prefix is the path to this node.
    pub(super) fn any_key(&self) -> &B256 {
        match &self.kind {
            Kind::Bundle(bundle) => bundle.first_key(),
            Kind::Extension { key, .. } => key,
            Kind::Stored { at } => at.key(),
            Kind::Branch { children } => children
                .iter()
                .flatten()
                .next()
                .expect("a branch has at least two children")
                .any_key(),
        }
    }

    pub(super) fn is_stored(&self) -> bool {
        matches!(self.kind, Kind::Stored { .. })
    }
}

/// Bytes of the RLP of a branch with sixteen hashed children.
pub(super) const BRANCH_BYTES_MAX: usize = 16 * 33 + 4;

/// The RLP of a leaf that hangs at `depth`.
pub(super) fn encode_leaf(key: &B256, value: &[u8], depth: usize, out: &mut Vec<u8>) {
    let path = compact_path(key, depth, KEY_NIBBLES, true);
    let payload_length = path.as_slice().length() + value.length();
    Header { list: true, payload_length }.encode(out);
    path.as_slice().encode(out);
    value.encode(out);
}

/// The RLP of an extension over the nibbles `from..to` of `key`.
pub(super) fn encode_extension(
    key: &B256,
    from: usize,
    to: usize,
    child: &RlpNode,
    out: &mut Vec<u8>,
) {
    let path = compact_path(key, from, to, false);
    let payload_length = path.as_slice().length() + child.len();
    Header { list: true, payload_length }.encode(out);
    path.as_slice().encode(out);
    out.extend_from_slice(child);
}

/// The RLP of a branch with these children by nibble.
pub(super) fn encode_branch<'a>(child: impl Fn(usize) -> Option<&'a RlpNode>, out: &mut Vec<u8>) {
    let children: [Option<&RlpNode>; 16] = std::array::from_fn(child);
    // Keys have one length, so no value ever ends at a branch.
    let payload_length =
        1 + children.iter().map(|child| child.map_or(1, |c| c.len())).sum::<usize>();
    Header { list: true, payload_length }.encode(out);
    for child in children {
        match child {
            Some(child) => out.extend_from_slice(child),
            None => out.push(EMPTY_STRING_CODE),
        }
    }
    out.push(EMPTY_STRING_CODE);
}
