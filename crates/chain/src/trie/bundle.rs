//! Small subtrees in one piece: their entries side by side, and a reference for each child of their
//! topmost branch.
//!
//! Most nodes of a trie are leaves and the branches right above them. Kept as single nodes they cost
//! an allocation and a cache miss each, and whoever copies their parent has to touch the counters of all its
//! children. A bundle's entries are shared with the versions before it: what has changed since is kept beside
//! them until it is worth copying everything. Only the children of the topmost branch that changed are
//! hashed again.

use std::{
    iter::Peekable,
    sync::{Arc, OnceLock},
};

use alloy_primitives::B256;
use alloy_trie::nodes::RlpNode;

use super::{
    Change,
    load::FLAT_MAX,
    node::{BRANCH_BYTES_MAX, encode_branch, encode_extension, encode_leaf},
    path::{KEY_NIBBLES, half, nibble, shared_prefix},
};

/// Entries of a bundle, at most.
pub(super) const BUNDLE_MAX: usize = FLAT_MAX as usize;

/// A key and its value.
pub(super) type Entry<'a> = (&'a B256, &'a [u8]);

/// A subtree of 1 to [`BUNDLE_MAX`] entries. It does not know where it hangs: above its fork.
#[derive(Clone)]
pub(super) struct Bundle {
    /// The first nibble in which keys differ; [`KEY_NIBBLES`] if there is only one.
    fork: u8,
    len: u8,
    /// Children of the branch at the fork, in order; none for a single entry.
    groups: Box<[Group]>,
    /// Of each entry, in the order of the keys: the key, the value's length in four bytes, the value.
    base: Arc<[u8]>,
    /// In the same form, entries of existing groups that are new or have another value than in `base`.
    news: Box<[u8]>,
    /// How many those are.
    news_len: u8,
}

/// Entries beside the shared ones, at most; with more, a bundle is copied as a whole.
const NEWS_MAX: usize = 8;

// Counts of entries are kept in a byte, also while news are being added.
const _: () = assert!(BUNDLE_MAX + NEWS_MAX <= u8::MAX as usize);

/// An entry, or that there is none under the key any more.
type Edit<'a> = (&'a B256, Option<&'a [u8]>);

/// What hangs below one nibble of a bundle's branch.
#[derive(Clone)]
struct Group {
    /// How the branch refers to it, once somebody has hashed it.
    reference: OnceLock<RlpNode>,
    nibble: u8,
    /// Entries below.
    len: u8,
    /// Where they end in the shared entries.
    end: u32,
}

const KEY: usize = 32;
const LENGTH: usize = 4;

impl Bundle {
    /// Of sorted entries, at least one and at most [`BUNDLE_MAX`].
    pub(super) fn new(entries: &[Entry<'_>]) -> Self {
        let bytes = entries.iter().map(|(_, value)| KEY + LENGTH + value.len()).sum();
        let mut data = Vec::with_capacity(bytes);
        let fork = match entries {
            [first, .., last] => shared_prefix(first.0, last.0, 0, KEY_NIBBLES),
            _ => KEY_NIBBLES,
        };
        let mut groups = Vec::new();
        if fork < KEY_NIBBLES {
            let by_nibble = entries.chunk_by(|a, b| nibble(a.0, fork) == nibble(b.0, fork));
            groups.reserve_exact(by_nibble.clone().count());
            for group in by_nibble {
                group.iter().for_each(|entry| write(*entry, &mut data));
                groups.push(Group::new(half(group[0].0, fork), group.len(), data.len()));
            }
        } else {
            entries.iter().for_each(|entry| write(*entry, &mut data));
        }
        Self::of(fork, entries.len(), groups, &data)
    }

    fn of(fork: usize, len: usize, groups: Vec<Group>, data: &[u8]) -> Self {
        let (groups, base, news) = (groups.into(), data.into(), Box::default());
        Self { fork: small(fork), len: small(len), groups, base, news, news_len: 0 }
    }

    /// What `changes` make of the bundle, if it is one with the same fork again. What they leave alone need not be
    /// hashed again.
    pub(super) fn changed(&self, changes: &[Change]) -> Option<Self> {
        let (fork, path) = (usize::from(self.fork), self.first_key());
        let stays = |change: &Change| shared_prefix(path, &change.0, 0, fork) == fork;
        // The changes are sorted, so the first or the last one leaves the path earliest.
        let all_stay = changes.first().is_some_and(stays) && changes.last().is_some_and(stays);
        if fork == KEY_NIBBLES || !all_stay {
            return None;
        }
        self.with_news(changes).or_else(|| self.copied(changes))
    }

    /// The bundle with the changes beside its entries, if they are few, delete nothing and leave the groups.
    fn with_news(&self, changes: &[Change]) -> Option<Self> {
        if usize::from(self.news_len) + changes.len() > NEWS_MAX {
            return None;
        }
        let mut groups = self.groups.clone();
        let (mut count, mut len) = (self.news_len, self.len);
        for (key, value) in changes {
            value.as_ref()?;
            let at = half(key, self.fork.into());
            let index = groups.iter().position(|group| group.nibble == at)?;
            let is_news = read(&self.news).any(|news| news.0 == key);
            let is_new = !is_news && read(self.base_of(index)).all(|entry| entry.0 != key);
            let group = &mut groups[index];
            group.reference = OnceLock::new();
            group.len += u8::from(is_new);
            len += u8::from(is_new);
            count += u8::from(!is_news);
        }
        if usize::from(len) > BUNDLE_MAX {
            return None;
        }
        let changed = changes.iter().filter_map(|(_, value)| Some(value.as_ref()?.len()));
        let bytes = changed.map(|value| KEY + LENGTH + value).sum::<usize>();
        let mut news = Vec::with_capacity(self.news.len() + bytes);
        merge(read(&self.news), edits(changes), &mut |entry| write(entry, &mut news));
        let (base, news) = (Arc::clone(&self.base), news.into());
        Some(Self { fork: self.fork, len, groups, base, news, news_len: count })
    }

    /// A copy with the changes, if it is a bundle with the same fork.
    fn copied(&self, changes: &[Change]) -> Option<Self> {
        let fork = usize::from(self.fork);
        let added = changes.iter().filter_map(|(_, value)| Some(value.as_ref()?.len()));
        let added = added.map(|value| KEY + LENGTH + value).sum::<usize>();
        let mut data = Vec::with_capacity(self.base.len() + self.news.len() + added);
        let mut groups = Vec::with_capacity(16);
        let (mut count, mut rest) = (0, changes);
        let mut before = self.groups.iter().enumerate().peekable();
        for at in 0..16 {
            let here = rest.iter().take_while(|change| half(&change.0, fork) == at).count();
            let (mine, others) = rest.split_at(here);
            rest = others;
            let group = before.next_if(|(_, group)| group.nibble == at);
            if mine.is_empty() {
                let Some((index, group)) = group else { continue };
                self.entries_of(index).for_each(|entry| write(entry, &mut data));
                count += usize::from(group.len);
                groups.push(Group { end: position(data.len()), ..group.clone() });
                continue;
            }
            let mut len = 0;
            let mut add = |entry| {
                write(entry, &mut data);
                len += 1;
            };
            match group {
                Some((index, _)) => merge(self.entries_of(index), edits(mine), &mut add),
                None => merge(std::iter::empty(), edits(mine), &mut add),
            }
            count += len;
            if count > BUNDLE_MAX {
                return None;
            }
            if len > 0 {
                groups.push(Group::new(at, len, data.len()));
            }
        }
        (count <= BUNDLE_MAX && groups.len() > 1).then(|| Self::of(fork, count, groups, &data))
    }

    pub(super) fn len(&self) -> u32 {
        self.len.into()
    }

    /// The shared entries of a group.
    fn base_of(&self, index: usize) -> &[u8] {
        let place = |index: usize| self.groups.get(index).map(|group| group.end as usize);
        let start = index.checked_sub(1).and_then(place).unwrap_or_default();
        let end = place(index).unwrap_or_default();
        self.base.get(start..end).unwrap_or_default()
    }

    /// A group's entries in the order of their keys.
    fn entries_of(&self, index: usize) -> impl Iterator<Item = Entry<'_>> {
        let fork = usize::from(self.fork);
        let wanted = self.groups.get(index).map(|group| group.nibble);
        let news = read(&self.news).filter(move |entry| Some(half(entry.0, fork)) == wanted);
        Merged::new(read(self.base_of(index)), news.map(|(key, value)| (key, Some(value))))
    }

    /// The entries in the order of their keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        Merged::new(read(&self.base), read(&self.news).map(|(key, value)| (key, Some(value))))
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &B256) -> Option<&[u8]> {
        let wanted = nibble_or_none(key, self.fork.into());
        let index = self.groups.iter().position(|group| usize::from(group.nibble) == wanted);
        let base = index.map_or(&*self.base, |index| self.base_of(index));
        let mut found = read(&self.news).chain(read(base)).filter(|entry| entry.0 == key);
        found.next().map(|(_, value)| value)
    }

    /// A key; all have the same path to the fork.
    pub(super) fn first_key(&self) -> &B256 {
        read(&self.base).next().expect("a bundle has an entry").0
    }

    /// Hands over the entries after `changes` in the order of their keys.
    pub(super) fn merge<'a>(&'a self, changes: &'a [Change], add: &mut dyn FnMut(Entry<'a>)) {
        merge(self.entries(), edits(changes), add);
    }

    /// Hands over the groups that nobody has hashed, each with its entries.
    pub(super) fn each_unhashed<'a>(
        &'a self,
        mut visit: impl FnMut(&'a OnceLock<RlpNode>, &mut dyn Iterator<Item = Entry<'a>>),
    ) {
        for (index, group) in self.groups.iter().enumerate() {
            if group.reference.get().is_none() {
                visit(&group.reference, &mut self.entries_of(index));
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

    /// References of the groups by their nibble; hashed now if need be.
    fn references(&self) -> [Option<&RlpNode>; 16] {
        let below = self.below_fork();
        self.each_unhashed(|cell, entries| {
            let entries: Vec<_> = entries.collect();
            cell.get_or_init(|| reference(&entries, below));
        });
        let mut children = [None; 16];
        for group in &self.groups {
            children[usize::from(group.nibble)] = group.reference.get();
        }
        children
    }

    /// The RLP of the subtree's topmost node, which hangs at `depth`.
    pub(super) fn encode(&self, depth: usize, out: &mut Vec<u8>) {
        if let Some((key, value)) = self.leaf() {
            return encode_leaf(key, value, depth, out);
        }
        let children = self.references();
        let fork = usize::from(self.fork);
        encode_forked(self.first_key(), depth, fork, |index| children[index], out);
    }

    /// The nodes from the topmost one, which hangs at `depth`, towards `key`.
    pub(super) fn visit(&self, key: &B256, depth: usize, visit: &mut dyn FnMut(&[u8], usize)) {
        let all: Vec<_> = self.entries().collect();
        let (mut entries, mut depth) = (all.as_slice(), depth);
        while let [first, .., last] = entries {
            let fork = shared_prefix(first.0, last.0, depth, KEY_NIBBLES);
            let mut rlp = Vec::with_capacity(BRANCH_BYTES_MAX);
            if entries.len() == all.len() {
                let children = self.references();
                encode_branch(|index| children[index], &mut rlp);
            } else {
                let children = children(entries, fork);
                encode_branch(|index| children[index].as_ref(), &mut rlp);
            }
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

impl Group {
    fn new(nibble: u8, len: usize, end: usize) -> Self {
        Self { reference: OnceLock::new(), nibble, len: small(len), end: position(end) }
    }
}

/// Appends an entry to a bundle's data.
fn write((key, value): Entry<'_>, data: &mut Vec<u8>) {
    data.extend_from_slice(key.as_slice());
    // Values are the RLP of accounts and words.
    data.extend_from_slice(&position(value.len()).to_be_bytes());
    data.extend_from_slice(value);
}

/// The entries in a part of a bundle's data.
fn read<'a>(mut rest: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
    std::iter::from_fn(move || {
        let (key, tail) = rest.split_at_checked(KEY)?;
        let (length, tail) = tail.split_first_chunk::<LENGTH>()?;
        let (value, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = tail;
        Some((<&B256>::try_from(key).ok()?, value))
    })
}

fn edits(changes: &[Change]) -> impl Iterator<Item = Edit<'_>> {
    changes.iter().map(|(key, value)| (key, value.as_deref()))
}

/// Hands over what edits make of entries, both in the order of the keys.
fn merge<'a>(
    entries: impl Iterator<Item = Entry<'a>>,
    edits: impl Iterator<Item = Edit<'a>>,
    add: &mut dyn FnMut(Entry<'a>),
) {
    Merged::new(entries, edits).for_each(add);
}

/// Entries after edits.
struct Merged<'a, E: Iterator<Item = Entry<'a>>, C: Iterator<Item = Edit<'a>>> {
    entries: Peekable<E>,
    edits: Peekable<C>,
}

impl<'a, E: Iterator<Item = Entry<'a>>, C: Iterator<Item = Edit<'a>>> Merged<'a, E, C> {
    fn new(entries: E, edits: C) -> Self {
        Self { entries: entries.peekable(), edits: edits.peekable() }
    }
}

impl<'a, E: Iterator<Item = Entry<'a>>, C: Iterator<Item = Edit<'a>>> Iterator
    for Merged<'a, E, C>
{
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(edit) = self.edits.peek() else { return self.entries.next() };
            if let Some(entry) = self.entries.next_if(|entry| entry.0 < edit.0) {
                return Some(entry);
            }
            let (key, value) = self.edits.next()?;
            self.entries.next_if(|entry| entry.0 == key);
            if let Some(value) = value {
                return Some((key, value));
            }
        }
    }
}

/// How a parent refers to the subtree of sorted entries that hangs at `depth`.
fn reference(entries: &[Entry<'_>], depth: usize) -> RlpNode {
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
pub(super) fn encode_forked<'a>(
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

/// A place in a bundle's data, or the length of a value.
fn position(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
