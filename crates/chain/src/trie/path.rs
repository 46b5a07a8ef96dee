//! Keys as nibbles: positions in a trie and the paths nodes encode.

use alloy_primitives::B256;

/// Nibbles in a key.
pub(super) const KEY_NIBBLES: usize = 64;

/// A position in a trie: the first `depth` nibbles of a key, the rest zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    key: B256,
    depth: usize,
}

impl Prefix {
    /// Where the root hangs.
    pub const ROOT: Self = Self { key: B256::ZERO, depth: 0 };

    /// The first `depth` nibbles of `key`; at most 64.
    pub fn new(key: &B256, depth: usize) -> Self {
        let depth = depth.min(KEY_NIBBLES);
        let mut cut = B256::ZERO;
        let whole = depth / 2;
        cut[..whole].copy_from_slice(&key[..whole]);
        if !depth.is_multiple_of(2) {
            cut[whole] = key[whole] & 0xf0;
        }
        Self { key: cut, depth }
    }

    /// The position one nibble (below 16) further down.
    pub(super) fn child(&self, nibble: u8) -> Self {
        let mut key = self.key;
        let byte = &mut key[self.depth / 2];
        *byte |= if self.depth.is_multiple_of(2) { nibble << 4 } else { nibble };
        Self { key, depth: self.depth + 1 }
    }

    pub(super) fn key(&self) -> &B256 {
        &self.key
    }

    /// Nibbles in the prefix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The smallest key below.
    pub fn first(&self) -> B256 {
        self.key
    }

    /// The largest key below.
    pub fn last(&self) -> B256 {
        let mut key = self.key;
        let whole = self.depth.div_ceil(2);
        if !self.depth.is_multiple_of(2) {
            key[whole - 1] |= 0x0f;
        }
        key[whole..].fill(0xff);
        key
    }

    /// One byte per nibble: in this form a prefix's descendants follow it in order.
    pub fn nibbles(&self) -> Vec<u8> {
        (0..self.depth).map(|index| half(&self.key, index)).collect()
    }
}

pub(super) fn nibble(key: &B256, index: usize) -> usize {
    usize::from(half(key, index))
}

/// The nibble as part of a byte.
pub(super) fn half(key: &B256, index: usize) -> u8 {
    let byte = key[index / 2];
    if index.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
}

/// The first nibble in `from..to` at which the keys differ, or `to`.
pub(super) fn shared_prefix(a: &B256, b: &B256, from: usize, to: usize) -> usize {
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
pub(super) fn compact_path(key: &B256, from: usize, to: usize, leaf: bool) -> CompactPath {
    let flag = if leaf { 0x20 } else { 0x00 };
    let mut path = CompactPath { bytes: [0; 33], len: 1 };
    let mut index = from;
    path.bytes[0] = flag;
    if !(to - from).is_multiple_of(2) {
        path.bytes[0] = flag | 0x10 | half(key, index);
        index += 1;
    }
    if index.is_multiple_of(2) && to.is_multiple_of(2) {
        // Whole bytes, as every leaf's path is from here on.
        let rest = &key[index / 2..to / 2];
        path.bytes[1..=rest.len()].copy_from_slice(rest);
        path.len += rest.len();
        return path;
    }
    while index < to {
        path.bytes[path.len] = half(key, index) << 4 | half(key, index + 1);
        path.len += 1;
        index += 2;
    }
    path
}

pub(super) struct CompactPath {
    bytes: [u8; 33],
    len: usize,
}

impl CompactPath {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
