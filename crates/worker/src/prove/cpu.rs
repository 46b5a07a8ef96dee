//! The processor as an engine: all its threads, and the same bits as one.

use std::thread;

use tilth_protocol::{
    Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask, ProductTask,
        crown::{KEPT_BYTES, node_above},
        memory::{Label, LabelAt, first_label, label},
        product::{TILE, fill_row, tile_hash},
        prove::{Engine, Filled, MemoryKeys, RoundKeys, nothing_filled},
    },
};

use super::dot::{self, Kernel};

/// Labels of a layer that a thread is started for at least: a start costs as much as some dozens of labels.
const LEAST_LANES: usize = 512;
/// Pieces of the tree that a thread is started for at least: each is 64 groups.
const LEAST_PIECES: usize = 8;
/// Walks that a thread is started for at least.
const LEAST_WALKS: usize = 16;

/// The processor.
#[derive(Debug)]
pub(super) struct Cpu {
    threads: usize,
    kernel: Kernel,
    /// The right matrix and its key: it stays over all rounds.
    right: Option<(Hash, Vec<i16>)>,
    filled: Option<Filled>,
}

impl Cpu {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), kernel: dot::best(), right: None, filled: None }
    }

    /// Calls `work` for pieces of `into`, each a multiple of `unit` long, on several threads; with the number of
    /// the piece's first element.
    fn share<T: Send>(&self, into: &mut [T], unit: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let units = into.len().div_ceil(unit).div_ceil(self.threads).max(1);
        let piece = units * unit;
        if piece >= into.len() {
            return work(0, into);
        }
        thread::scope(|scope| {
            for (number, into) in into.chunks_mut(piece).enumerate() {
                let work = &work;
                scope.spawn(move || work(number * piece, into));
            }
        });
    }

    /// A matrix, row by row, as numbers.
    fn matrix(&self, key: &Hash, order: usize) -> Vec<i16> {
        let mut numbers = vec![0; order * order];
        self.share(&mut numbers, order, |first, rows| {
            let mut bytes = vec![0; order];
            for (row, numbers) in (first / order..).zip(rows.chunks_exact_mut(order)) {
                fill_row(key, small(row), &mut bytes);
                for (number, byte) in numbers.iter_mut().zip(&bytes) {
                    *number = i16::from(byte.cast_signed());
                }
            }
        });
        numbers
    }
}

/// Numbers of rows, lanes and walks are words in a checked task.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Engine for Cpu {
    fn tiles(&mut self, task: &ProductTask, keys: &RoundKeys) -> Result<Vec<Hash>, Problem> {
        let (order, side) = (task.order as usize, task.side() as usize);
        if self.right.as_ref().is_none_or(|(key, _)| *key != keys.right) {
            self.right = Some((keys.right, self.matrix(&keys.right, order)));
        }
        let left = self.matrix(&keys.left, order);
        let right = self.right.as_ref().map_or(&[][..], |(_, numbers)| numbers);
        let lines = order * TILE as usize;
        let mut hashes = vec![Hash::default(); side * side];
        self.share(&mut hashes, side, |first, hashes| {
            for (row, hashes) in (first / side..).zip(hashes.chunks_exact_mut(side)) {
                let left = &left[row * lines..(row + 1) * lines];
                for (right, hash) in right.chunks_exact(lines).zip(hashes) {
                    *hash = tile_hash(&keys.tile, &(self.kernel)(left, right, order));
                }
            }
        });
        Ok(hashes)
    }

    fn fill(&mut self, task: &MemoryTask, keys: &MemoryKeys) -> Result<Hash, Problem> {
        self.filled = None;
        let lanes = task.lanes as usize;
        let mut labels = room(task)?;
        let place = |at| usize::try_from(task.number(at)).unwrap_or(usize::MAX);
        for (layer, from) in (0..task.depth).zip((0..).step_by(lanes)) {
            let (done, rest) = labels.split_at_mut(from);
            self.share(&mut rest[..lanes], LEAST_LANES, |first, into| {
                for (lane, into) in (first..).zip(into) {
                    *into = match done.len().checked_sub(lanes) {
                        None => first_label(&keys.label, small(lane)),
                        Some(before) => {
                            let before = done[before + lane];
                            let places =
                                task.parents(LabelAt { layer, lane: small(lane) }, &before);
                            label(&keys.label, &before, &places.map(|at| done[place(at)]))
                        }
                    };
                }
            });
        }
        let pieces = labels.as_flattened();
        let mut nodes = vec![Hash::default(); pieces.len().div_ceil(KEPT_BYTES)];
        self.share(&mut nodes, LEAST_PIECES, |first, nodes| {
            for (node, labels) in nodes.iter_mut().zip(pieces.chunks(KEPT_BYTES).skip(first)) {
                *node = node_above(keys, labels);
            }
        });
        Ok(self.filled.insert(Filled::with_nodes(labels, nodes, keys)).root())
    }

    fn walk(&mut self, task: &MemoryTask, key: &Hash) -> Result<Vec<Hash>, Problem> {
        let filled = self.filled.as_ref().ok_or_else(nothing_filled)?;
        let mut ends = vec![Hash::default(); task.walks as usize];
        self.share(&mut ends, LEAST_WALKS, |first, ends| {
            for (walk, end) in (first..).zip(ends) {
                // A checked task's walks stay within its memory.
                *end = filled.walk(task, key, small(walk)).unwrap_or_default();
            }
        });
        Ok(ends)
    }

    fn read(&mut self, task: &MemoryTask, at: LabelAt) -> Result<LabelOpening, Problem> {
        self.filled.as_ref().and_then(|filled| filled.read(task, at)).ok_or_else(nothing_filled)
    }
}

/// Room for all labels, or the reason why there is none.
fn room(task: &MemoryTask) -> Result<Vec<Label>, Problem> {
    let count = usize::try_from(task.labels()).unwrap_or(usize::MAX);
    let mut labels = Vec::new();
    labels.try_reserve_exact(count).map_err(|error| {
        let detail = format!("{} bytes: {error}", task.bytes());
        Problem::new("there is not so much memory", detail, "offer less of it")
    })?;
    labels.resize(count, Label::default());
    Ok(labels)
}
