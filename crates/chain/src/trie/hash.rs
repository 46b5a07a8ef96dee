//! Hashing many nodes at once, which is several times as fast as one by one (see `keccak`).
//!
//! Nodes that have no reference yet are taken level by level from the deepest up, so that those of a
//! level do not wait for one another.

use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use alloy_trie::nodes::RlpNode;

use super::{
    bundle::reference,
    keccak::{BLOCK, Quad, WAYS},
    node::{Kind, Node, encode_leaf},
    path::KEY_NIBBLES,
};

/// Blocks of the longest messages that are hashed side by side: a full branch has four.
const BLOCKS_MAX: usize = 4;

/// Gives a node that hangs at `depth`, and all below, their references.
pub(super) fn all(node: &Arc<Node>, depth: usize) {
    let mut levels: Vec<Vec<&Node>> = Vec::new();
    collect(node, depth, &mut levels);
    let mut batch = Batch::default();
    let mut rlp = Vec::new();
    for node in levels.iter().flatten() {
        let Kind::Bundle(bundle) = &node.kind else { continue };
        bundle.each_unhashed(|cell, entries| {
            let below = bundle.below_fork();
            if let [(key, value)] = entries {
                rlp.clear();
                encode_leaf(key, value, below, &mut rlp);
                batch.add(cell, &rlp);
            } else {
                cell.get_or_init(|| reference(entries, below));
            }
        });
    }
    batch.finish();
    for (depth, nodes) in levels.iter().enumerate().rev() {
        for node in nodes {
            rlp.clear();
            node.encode(depth, &mut rlp);
            batch.add(node.reference_cell(), &rlp);
        }
        batch.finish();
    }
}

fn collect<'a>(node: &'a Node, depth: usize, levels: &mut Vec<Vec<&'a Node>>) {
    if node.reference_cell().get().is_some() {
        return;
    }
    match &node.kind {
        Kind::Bundle(_) | Kind::Stored { .. } => {}
        Kind::Extension { end, child, .. } => collect(child, *end, levels),
        Kind::Branch { children } => {
            for child in children.iter().flatten() {
                collect(child, depth + 1, levels);
            }
        }
    }
    let depth = depth.min(KEY_NIBBLES);
    if levels.len() <= depth {
        levels.resize_with(depth + 1, Vec::new);
    }
    levels[depth].push(node);
}

/// Messages that wait until there are enough of their length.
#[derive(Default)]
struct Batch<'a> {
    by_blocks: [Waiting<'a>; BLOCKS_MAX],
}

#[derive(Default)]
struct Waiting<'a> {
    cells: Vec<&'a OnceLock<RlpNode>>,
    messages: Quad,
}

impl<'a> Batch<'a> {
    /// Sets the reference of a node with this RLP, sooner or later.
    fn add(&mut self, cell: &'a OnceLock<RlpNode>, rlp: &[u8]) {
        let waiting = if rlp.len() < 32 { None } else { self.by_blocks.get_mut(rlp.len() / BLOCK) };
        let Some(waiting) = waiting else {
            cell.get_or_init(|| RlpNode::from_rlp(rlp));
            return;
        };
        waiting.messages.push(rlp);
        waiting.cells.push(cell);
        if waiting.cells.len() == WAYS {
            waiting.finish();
        }
    }

    /// Sets all references that are still to be set.
    fn finish(&mut self) {
        self.by_blocks.iter_mut().for_each(Waiting::finish);
    }
}

impl Waiting<'_> {
    fn finish(&mut self) {
        for (cell, hash) in self.cells.drain(..).zip(self.messages.hash()) {
            cell.get_or_init(|| RlpNode::word_rlp(&B256::from(hash)));
        }
    }
}
