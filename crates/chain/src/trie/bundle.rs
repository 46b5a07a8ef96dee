//! Small subtrees in one piece: their entries side by side, and a reference for each child of their
//! topmost branch.
//!
//! Most nodes of a trie are leaves and the branches right above them. Kept as single nodes they cost
//! an allocation and a cache miss each; together they are copied as a whole when one of them changes,
//! and only the children of the topmost branch that changed are hashed again.

use std::sync::OnceLock;

use alloy_primitives::B256;
use alloy_trie::nodes::RlpNode;

use super::{
    Change,
    node::{BRANCH_BYTES_MAX, encode_branch, encode_extension, encode_leaf},
    path::{KEY_NIBBLES, half, nibble, shared_prefix},
};

/// Entries of a bundle, at most: as many as its branch has children, so that most of these are leaves.
pub(super) const BUNDLE_MAX: usize = 16;

/// A key and its value.
pub(super) type Entry<'a> = (&'a B256, &'a [u8]);

/// A subtree of 1 to [`BUNDLE_MAX`] entries. It does not know where it hangs: above its fork.
pub(super) struct Bundle {
    /// The first nibble in which keys differ; [`KEY_NIBBLES`] if there is only one.
    fork: u8,
    len: u8,
    /// Children of the branch at the fork, in order; none for a single entry.
    groups: Box<[Group]>,
    /// Of each entry, in the order of the keys: the key, the value's length in four bytes, the value.
    data: Box<[u8]>,
}

/// What hangs below one nibble of a bundle's branch.
#[derive(Clone)]
pub(super) struct Group {
    /// How the branch refers to it, once somebody has hashed it.
    pub(super) reference: OnceLock<RlpNode>,
    nibble: u8,
    /// Entries below.
    len: u8,
}

const KEY: usize = 32;
const LENGTH: usize = 4;

impl Bundle {
    /// Of sorted entries, at least one.
    pub(super) fn new(entries: &[Entry<'_>]) -> Self {
        let mut data =
            Vec::with_capacity(entries.iter().map(|(_, value)| KEY + LENGTH + value.len()).sum());
        for (key, value) in entries {
            data.extend_from_slice(key.as_slice());
            // Values are the RLP of accounts and words.
            data.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(value);
        }
        let fork = match entries {
            [first, .., last] => shared_prefix(first.0, last.0, 0, KEY_NIBBLES),
            _ => KEY_NIBBLES,
        };
        let mut groups = Vec::new();
        if fork < KEY_NIBBLES {
            let by_nibble = entries.chunk_by(|a, b| nibble(a.0, fork) == nibble(b.0, fork));
            groups.reserve_exact(by_nibble.clone().count());
            groups.extend(by_nibble.map(|group| Group {
                reference: OnceLock::new(),
                nibble: half(group[0].0, fork),
                len: small(group.len()),
            }));
        }
        let groups = groups.into();
        Self { fork: small(fork), len: small(entries.len()), groups, data: data.into() }
    }

    /// Of entries that came from `before` by `changes`: what these leave alone need not be hashed again.
    pub(super) fn after(before: &Self, changes: &[Change], entries: &[Entry<'_>]) -> Self {
        let mut after = Self::new(entries);
        if after.fork != before.fork {
            return after;
        }
        let fork = usize::from(after.fork);
        let mut changed = [false; 16];
        for (key, _) in changes {
            if let Some(slot) = changed.get_mut(nibble_or_none(key, fork)) {
                *slot = true;
            }
        }
        let mut known = [None; 16];
        for group in &before.groups {
            known[usize::from(group.nibble)] = Some(&group.reference);
        }
        for group in &mut after.groups {
            let index = usize::from(group.nibble);
            if let Some(same) = known[index].filter(|_| !changed[index]) {
                group.reference.clone_from(same);
            }
        }
        after
    }

    pub(super) fn len(&self) -> u32 {
        self.len.into()
    }

    /// The entries in the order of their keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = &*self.data;
        std::iter::from_fn(move || {
            let (key, tail) = rest.split_at_checked(KEY)?;
            let (length, tail) = tail.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (value, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some((<&B256>::try_from(key).ok()?, value))
        })
    }

    pub(super) fn first_key(&self) -> &B256 {
        self.entries().next().expect("a bundle has an entry").0
    }

    /// All entries in a list.
    fn list(&self) -> List<'_> {
        let mut list = List::default();
        self.entries().for_each(|entry| list.push(entry));
        list
    }

    /// What `changes` make of the entries, if that is sure to be no more than a list holds.
    pub(super) fn changed<'a>(&'a self, changes: &'a [Change]) -> Option<List<'a>> {
        if usize::from(self.len) + changes.len() > LIST_MAX {
            return None;
        }
        let mut list = List::default();
        self.merge(changes, &mut |entry| list.push(entry));
        Some(list)
    }

    /// Hands over the entries after `changes` in the order of their keys.
    pub(super) fn merge<'a>(&'a self, changes: &'a [Change], add: &mut dyn FnMut(Entry<'a>)) {
        let mut rest = changes.iter().peekable();
        let set = |change: &'a Change, add: &mut dyn FnMut(Entry<'a>)| {
            if let (key, Some(value)) = change {
                add((key, value));
            }
        };
        for entry in self.entries() {
            while let Some(change) = rest.next_if(|change| change.0 < *entry.0) {
                set(change, add);
            }
            match rest.next_if(|change| change.0 == *entry.0) {
                Some(change) => set(change, add),
                None => add(entry),
            }
        }
        rest.for_each(|change| set(change, add));
    }

    /// Hands over the groups that nobody has hashed, each with its entries.
    pub(super) fn each_unhashed<'a>(
        &'a self,
        mut visit: impl FnMut(&'a OnceLock<RlpNode>, &[Entry<'a>]),
    ) {
        if self.groups.iter().all(|group| group.reference.get().is_some()) {
            return;
        }
        let list = self.list();
        let mut rest = list.as_slice();
        for group in &self.groups {
            let (entries, others) = rest.split_at(usize::from(group.len).min(rest.len()));
            rest = others;
            if group.reference.get().is_none() {
                visit(&group.reference, entries);
            }
        }
    }

    /// Whether this is a single leaf.
    pub(super) fn leaf(&self) -> Option<Entry<'_>> {
        if self.groups.is_empty() { self.entries().next() } else { None }
    }

    /// The depth at which groups hang.
    pub(super) fn below_fork(&self) -> usize {
        usize::from(self.fork) + 1
    }

    /// The RLP of the subtree's topmost node, which hangs at `depth`.
    pub(super) fn encode(&self, depth: usize, out: &mut Vec<u8>) {
        if let Some((key, value)) = self.leaf() {
            return encode_leaf(key, value, depth, out);
        }
        let below = self.below_fork();
        self.each_unhashed(|cell, entries| {
            cell.get_or_init(|| reference(entries, below));
        });
        let mut children = [None; 16];
        for group in &self.groups {
            children[usize::from(group.nibble)] = group.reference.get();
        }
        let fork = usize::from(self.fork);
        encode_forked(self.first_key(), depth, fork, |index| children[index], out);
    }

    /// The nodes from the topmost one, which hangs at `depth`, towards `key`.
    pub(super) fn visit(&self, key: &B256, depth: usize, visit: &mut dyn FnMut(&[u8], usize)) {
        let all = self.list();
        let (mut entries, mut depth) = (all.as_slice(), depth);
        while let [first, .., last] = entries {
            let fork = shared_prefix(first.0, last.0, depth, KEY_NIBBLES);
            let mut rlp = Vec::with_capacity(BRANCH_BYTES_MAX);
            let children = children(entries, fork);
            encode_branch(|index| children[index].as_ref(), &mut rlp);
            if fork > depth {
                let branch = RlpNode::from_rlp(&rlp);
                let mut extension = Vec::with_capacity(BRANCH_BYTES_MAX);
                encode_extension(first.0, depth, fork, &branch, &mut extension);
                visit(&extension, depth);
            }
            if shared_prefix(first.0, key, depth, fork) < fork {
                return;
            }
            visit(&rlp, fork);
            let wanted = nibble(key, fork);
            let start = entries.partition_point(|entry| nibble(entry.0, fork) < wanted);
            let end = entries.partition_point(|entry| nibble(entry.0, fork) <= wanted);
            (entries, depth) = (&entries[start..end], fork + 1);
        }
        if let [(leaf, value)] = entries {
            let mut rlp = Vec::with_capacity(KEY + value.len() + 8);
            encode_leaf(leaf, value, depth, &mut rlp);
            visit(&rlp, depth);
        }
    }
}

/// A few entries, without an allocation.
pub(super) struct List<'a> {
    entries: [Entry<'a>; LIST_MAX],
    len: usize,
}

/// Twice what a bundle holds: the entries of one and as many changes.
const LIST_MAX: usize = 2 * BUNDLE_MAX;

impl Default for List<'_> {
    fn default() -> Self {
        Self { entries: [(&B256::ZERO, &[]); LIST_MAX], len: 0 }
    }
}

impl<'a> List<'a> {
    fn push(&mut self, entry: Entry<'a>) {
        self.entries[self.len] = entry;
        self.len += 1;
    }

    pub(super) fn as_slice(&self) -> &[Entry<'a>] {
        &self.entries[..self.len]
    }
}

impl Clone for Bundle {
    fn clone(&self) -> Self {
        let (groups, data) = (self.groups.clone(), self.data.clone());
        Self { fork: self.fork, len: self.len, groups, data }
    }
}

/// How a parent refers to the subtree of sorted entries that hangs at `depth`.
pub(super) fn reference(entries: &[Entry<'_>], depth: usize) -> RlpNode {
    let mut rlp = Vec::new();
    match entries {
        [] => {}
        [(key, value)] => {
            rlp.reserve(KEY + value.len() + 8);
            encode_leaf(key, value, depth, &mut rlp);
        }
        [first, .., last] => {
            rlp.reserve(BRANCH_BYTES_MAX);
            let fork = shared_prefix(first.0, last.0, depth, KEY_NIBBLES);
            let children = children(entries, fork);
            encode_forked(first.0, depth, fork, |index| children[index].as_ref(), &mut rlp);
        }
    }
    RlpNode::from_rlp(&rlp)
}

/// References of the children of a branch at `fork` over these entries.
fn children(entries: &[Entry<'_>], fork: usize) -> [Option<RlpNode>; 16] {
    let mut children: [Option<RlpNode>; 16] = Default::default();
    for group in entries.chunk_by(|a, b| nibble(a.0, fork) == nibble(b.0, fork)) {
        children[nibble(group[0].0, fork)] = Some(reference(group, fork + 1));
    }
    children
}

/// The RLP of a branch at `fork`, or of the extension above it if it does not hang there.
fn encode_forked<'a>(
    key: &B256,
    depth: usize,
    fork: usize,
    child: impl Fn(usize) -> Option<&'a RlpNode>,
    out: &mut Vec<u8>,
) {
    if fork == depth {
        return encode_branch(child, out);
    }
    let mut branch = Vec::with_capacity(BRANCH_BYTES_MAX);
    encode_branch(child, &mut branch);
    encode_extension(key, depth, fork, &RlpNode::from_rlp(&branch), out);
}

/// The nibble, or 16 behind the key's end.
fn nibble_or_none(key: &B256, index: usize) -> usize {
    if index < KEY_NIBBLES { nibble(key, index) } else { 16 }
}

/// Nibbles and entries of a bundle fit a byte.
fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
