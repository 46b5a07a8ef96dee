//! Byte-pair merging in `n log n`, whatever the piece.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::{Error, Result};

/// Which pairs of tokens merge, in which order, into what.
#[derive(Debug)]
pub(super) struct Merges {
    /// Some vocabularies lack bytes that no text has; such bytes are dropped before anything merges.
    bytes: [Option<u32>; 256],
    pairs: HashMap<(u32, u32), (u32, u32)>,
}

const NONE: usize = usize::MAX;

impl Merges {
    /// With `equals`, ways to make the same piece that stand one after the other are equals: of them the leftmost is
    /// taken.
    pub fn new(
        by_bytes: &HashMap<Box<[u8]>, u32>,
        bytes: &[Box<[u8]>],
        merges: &[[u32; 2]],
        equals: bool,
    ) -> Result<Self> {
        let mut singles = [None; 256];
        for (byte, single) in (0u8..=255).zip(&mut singles) {
            *single = by_bytes.get(&[byte][..]).copied();
        }
        let text = |token: u32| bytes.get(token as usize).map(|bytes| &**bytes);
        let mut pairs = HashMap::with_capacity(merges.len());
        let mut before = None;
        for (place, [left, right]) in (0u32..).zip(merges) {
            let merged = text(*left).zip(text(*right)).map(|(left, right)| [left, right].concat());
            let merged = merged.and_then(|merged| by_bytes.get(&*merged));
            let merged = merged
                .ok_or_else(|| Error::damaged(format!("the merge {place} names no token")))?;
            let rank = match before {
                Some((rank, same)) if equals && same == *merged => rank,
                _ => place,
            };
            before = Some((rank, *merged));
            pairs.entry((*left, *right)).or_insert((rank, *merged));
        }
        Ok(Self { bytes: singles, pairs })
    }

    /// Appends the tokens of one piece.
    pub fn apply(&self, piece: &[u8], tokens: &mut Vec<u32>) {
        self.join(piece.iter().filter_map(|byte| self.bytes[*byte as usize]).collect(), tokens);
    }

    /// Appends what the parts merge to.
    pub fn join(&self, mut parts: Vec<u32>, tokens: &mut Vec<u32>) {
        // Neighbours, as a linked list over places.
        let mut next: Vec<usize> = (1..=parts.len()).collect();
        let mut last: Vec<usize> =
            (0..parts.len()).map(|i| i.checked_sub(1).unwrap_or(NONE)).collect();
        if let Some(end) = next.last_mut() {
            *end = NONE;
        }
        let mut heap = BinaryHeap::new();
        let offer = |heap: &mut BinaryHeap<_>, parts: &[u32], left: usize, right: usize| {
            if let Some((rank, merged)) = self.pairs.get(&(parts[left], parts[right])) {
                heap.push(Reverse((*rank, left, right, *merged, parts[left], parts[right])));
            }
        };
        for right in 1..parts.len() {
            offer(&mut heap, &parts, right - 1, right);
        }
        // A place that was merged into its left neighbour.
        let gone = u32::MAX;
        while let Some(Reverse((_, left, right, merged, a, b))) = heap.pop() {
            if parts[left] != a || parts[right] != b || next[left] != right {
                continue;
            }
            parts[left] = merged;
            parts[right] = gone;
            next[left] = next[right];
            if next[right] != NONE {
                last[next[right]] = left;
                offer(&mut heap, &parts, left, next[left]);
            }
            if last[left] != NONE {
                offer(&mut heap, &parts, last[left], left);
            }
        }
        tokens.extend(parts.into_iter().filter(|part| *part != gone));
    }
}
