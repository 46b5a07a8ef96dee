//! Hashing many nodes at once, which is several times as fast as one by one (see `keccak`).
//!
//! Nodes that have no reference yet are taken level by level from the deepest up, so that those of a
//! level do not wait for one another.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use alloy_primitives::B256;
use alloy_trie::nodes::RlpNode;

use super::{
    bundle::{Bundle, Entry, encode_forked},
    keccak::{BLOCK, Quad, WAYS},
    node::{Kind, Node, encode_leaf},
    path::{KEY_NIBBLES, nibble, shared_prefix},
};

/// Blocks of the longest messages that are hashed side by side: a full branch has four.
const BLOCKS_MAX: usize = 4;

/// Gives a node that hangs at `depth`, and all below, their references.
pub(super) fn all(node: &Arc<Node>, depth: usize) {
    let mut work = Work::default();
    work.add(node, depth);
    work.run();
}

/// What is to be hashed.
#[derive(Default)]
struct Work<'a> {
    /// Pieces of one entry: they wait for nothing.
    leaves: Vec<usize>,
    /// Everything else by the depth of its branch, or that at which the node hangs: what lies below comes first.
    levels: Vec<Vec<Item<'a>>>,
    pieces: Vec<Piece<'a>>,
    /// Of the groups that pieces come from, one after another.
    entries: Vec<Entry<'a>>,
}

enum Item<'a> {
    Node(&'a Node),
    Piece(usize),
}

/// A node inside of a bundle, which is nowhere kept as one.
#[derive(Default)]
struct Piece<'a> {
    /// The first of its entries.
    first: usize,
    /// Where it hangs.
    depth: usize,
    /// Where its branch is.
    fork: usize,
    /// The pieces below.
    children: Range<usize>,
    /// Where its reference is kept, if it is.
    kept: Option<&'a OnceLock<RlpNode>>,
}

impl<'a> Work<'a> {
    fn add(&mut self, node: &'a Node, depth: usize) {
        if node.reference_cell().get().is_some() {
            return;
        }
        match &node.kind {
            Kind::Stored { .. } => {}
            Kind::Bundle(bundle) => self.add_groups(bundle),
            Kind::Extension { end, child, .. } => self.add(child, *end),
            Kind::Branch { children } => {
                for child in children.iter().flatten() {
                    self.add(child, depth + 1);
                }
            }
        }
        self.at(depth).push(Item::Node(node));
    }

    fn at(&mut self, depth: usize) -> &mut Vec<Item<'a>> {
        let depth = depth.min(KEY_NIBBLES);
        if self.levels.len() <= depth {
            self.levels.resize_with(depth + 1, Vec::new);
        }
        &mut self.levels[depth]
    }

    fn add_groups(&mut self, bundle: &'a Bundle) {
        let below = bundle.below_fork();
        bundle.each_unhashed(|cell, entries| {
            let first = self.entries.len();
            self.entries.extend(entries);
            let piece = self.pieces.len();
            self.pieces.push(Piece { kept: Some(cell), ..Piece::default() });
            self.split(piece, first..self.entries.len(), below);
        });
    }

    /// Says of a piece over these entries, which hangs at `depth`, what it consists of.
    fn split(&mut self, piece: usize, entries: Range<usize>, depth: usize) {
        (self.pieces[piece].first, self.pieces[piece].depth) = (entries.start, depth);
        let own = &self.entries[entries.clone()];
        let [first, .., last] = own else {
            self.leaves.push(piece);
            return;
        };
        let fork = shared_prefix(first.0, last.0, depth, KEY_NIBBLES);
        let mut ends = [0; 16];
        let (mut count, mut end) = (0, entries.start);
        for group in own.chunk_by(|a, b| nibble(a.0, fork) == nibble(b.0, fork)) {
            end += group.len();
            ends[count] = end;
            count += 1;
        }
        let children = self.pieces.len()..self.pieces.len() + count;
        (self.pieces[piece].fork, self.pieces[piece].children) = (fork, children.clone());
        self.pieces.resize_with(children.end, Piece::default);
        self.at(fork).push(Item::Piece(piece));
        let mut start = entries.start;
        for (child, end) in children.zip(ends) {
            self.split(child, start..end, fork + 1);
            start = end;
        }
    }

    fn run(&self) {
        let found: Vec<OnceLock<RlpNode>> = self.pieces.iter().map(|_| OnceLock::new()).collect();
        let mut batch = Batch::default();
        let mut rlp = Vec::new();
        for index in &self.leaves {
            let piece = &self.pieces[*index];
            let (key, value) = self.entries[piece.first];
            rlp.clear();
            encode_leaf(key, value, piece.depth, &mut rlp);
            batch.add(piece.kept.unwrap_or(&found[*index]), &rlp);
        }
        batch.finish();
        for (depth, items) in self.levels.iter().enumerate().rev() {
            for item in items {
                rlp.clear();
                match item {
                    Item::Node(node) => {
                        node.encode(depth, &mut rlp);
                        batch.add(node.reference_cell(), &rlp);
                    }
                    Item::Piece(index) => {
                        let piece = &self.pieces[*index];
                        self.encode(piece, &found, &mut rlp);
                        batch.add(piece.kept.unwrap_or(&found[*index]), &rlp);
                    }
                }
            }
            batch.finish();
        }
    }

    /// The RLP of a piece with more than one entry, whose children have their references.
    fn encode(&self, piece: &Piece<'_>, found: &[OnceLock<RlpNode>], rlp: &mut Vec<u8>) {
        let key = |piece: &Piece<'_>| self.entries[piece.first].0;
        let mut children = [None; 16];
        for child in piece.children.clone() {
            let index = nibble(key(&self.pieces[child]), piece.fork);
            children[index] = found[child].get();
        }
        encode_forked(key(piece), piece.depth, piece.fork, |index| children[index], rlp);
    }
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
