//! Weight matrices and products with them (int1.md, section 4).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::int1::arithmetic::scale;
use crate::int1::block::{ACTIVATION, Word, encode};
use crate::kernels::{GROUP, GROUP_BYTES, Kernels, PAIRS, TILE, WIDE, pair};
use crate::workers::Workers;
use crate::{Error, Result};

/// The widest vector that a matrix multiplies: 2^15 groups, with which a sum stays below 2^58.
pub const WIDEST: usize = 1 << 20;
/// The most rows of a matrix.
pub const TALLEST: usize = 1 << 24;

/// Vectors that are multiplied while their activations stay in the second-level cache: 64 of 1536 take
/// 192 KiB.
const BAND: usize = 64;

/// The bytes of a model: a file in memory or mapped.
pub type Store = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What computes: inner loops and threads.
#[derive(Debug)]
pub struct Machine {
    /// The inner loops.
    pub kernels: Kernels,
    /// The threads.
    pub workers: Workers,
}

impl Machine {
    /// The fastest kernels of this machine on `threads` threads.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self> {
        Ok(Self { kernels: Kernels::detect(), workers: Workers::new(threads)? })
    }
}

/// Room that products need for a while, kept between them.
#[derive(Debug, Default)]
pub struct Space {
    turned: Vec<i32>,
}

/// Activations: one or more vectors of block numbers, ready to be multiplied.
#[derive(Debug, Default)]
pub struct Block {
    words: Vec<u32>,
    fractions: Vec<i32>,
    stride: usize,
}

impl Block {
    /// Encodes `count` vectors, each by `make(index, into)`, which returns its fractional bits.
    pub fn new(
        count: usize,
        width: usize,
        workers: &Workers,
        make: impl Fn(usize, &mut Vector<'_>) + Sync + Send,
    ) -> Self {
        let stride = width.div_ceil(GROUP) * PAIRS;
        let mut words = vec![0; stride * count];
        let mut fractions = vec![0; count];
        let mut slots: Vec<(usize, Vector<'_>)> = words
            .chunks_mut(stride.max(1))
            .zip(&mut fractions)
            .map(|(words, fraction)| Vector { words, fraction })
            .enumerate()
            .collect();
        workers.each(&mut slots, |(index, vector)| make(*index, vector));
        drop(slots);
        Self { words, fractions, stride }
    }

    /// How many vectors.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fractions.len()
    }

    fn vector(&self, index: usize) -> &[u32] {
        &self.words[index * self.stride..(index + 1) * self.stride]
    }
}

/// One vector of a block, to be filled.
#[derive(Debug)]
pub struct Vector<'a> {
    words: &'a mut [u32],
    fraction: &'a mut i32,
}

impl Vector<'_> {
    /// Encodes `from`, which has `fraction` fractional bits.
    pub fn set<W: Word>(&mut self, from: &[W], fraction: i32) {
        let mut mantissas = vec![0i16; 2 * self.words.len()];
        *self.fraction = encode(from, fraction, ACTIVATION, &mut mantissas);
        pairs(&mantissas, self.words);
    }
}

/// Packs mantissas in pairs.
pub(crate) fn pairs(mantissas: &[i16], into: &mut [u32]) {
    for (word, two) in into.iter_mut().zip(mantissas.as_chunks::<2>().0) {
        *word = pair(two[0], two[1]);
    }
}

/// A matrix of int8 weights in groups of 32 columns with 16-bit scales, and a power of two per row:
/// `weight * scale * 2^-fraction`.
#[derive(Clone)]
pub struct Matrix {
    store: Store,
    tiles: Range<usize>,
    fractions: Arc<[i8]>,
    rows: usize,
    columns: usize,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({} x {})", self.rows, self.columns)
    }
}

impl Matrix {
    /// Bytes of a matrix in a blob: row fractions, zeros to a multiple of 64, tiles.
    ///
    /// # Errors
    /// When a side is zero or beyond the profile's bounds.
    pub fn bytes(rows: usize, columns: usize) -> Result<usize> {
        if rows == 0 || columns == 0 || rows > TALLEST || columns > WIDEST {
            return Err(Error::unsupported(format!("a matrix of {rows} x {columns}")));
        }
        rows.div_ceil(TILE)
            .checked_mul(columns.div_ceil(GROUP))
            .and_then(|groups| groups.checked_mul(GROUP_BYTES))
            .and_then(|tiles| tiles.checked_add(Self::head(rows)))
            .ok_or_else(|| Error::unsupported(format!("a matrix of {rows} x {columns}")))
    }

    /// Bytes before the tiles.
    pub(crate) fn head(rows: usize) -> usize {
        rows.div_ceil(64) * 64
    }

    /// The matrix at `at` in `store`.
    ///
    /// # Errors
    /// When the shape is out of bounds or the bytes are not all there.
    pub fn open(store: &Store, at: usize, rows: usize, columns: usize) -> Result<Self> {
        let length = Self::bytes(rows, columns)?;
        let all = (**store).as_ref();
        let bytes = at
            .checked_add(length)
            .and_then(|end| all.get(at..end))
            .ok_or_else(|| Error::damaged(format!("a matrix at {at} ends beyond the file")))?;
        Ok(Self {
            store: store.clone(),
            tiles: at + Self::head(rows)..at + length,
            fractions: bytes[..rows].iter().map(|byte| byte.cast_signed()).collect(),
            rows,
            columns,
        })
    }

    /// Rows: the length of a product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the length of what is multiplied.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn tiles(&self) -> &[u8] {
        &(*self.store).as_ref()[self.tiles.clone()]
    }

    fn tile_bytes(&self) -> usize {
        self.columns.div_ceil(GROUP) * GROUP_BYTES
    }

    /// One row as numbers with `fraction` fractional bits (an embedding).
    pub fn row(&self, row: usize, fraction: i32, into: &mut [i32]) {
        let tile = &self.tiles()[row / TILE * self.tile_bytes()..][..self.tile_bytes()];
        let lane = row % TILE;
        let shift = i32::from(self.fractions[row]) - fraction;
        for (slots, group) in into.chunks_mut(GROUP).zip(tile.as_chunks::<GROUP_BYTES>().0) {
            let factor = i64::from(u16::from_le_bytes([group[2 * lane], group[2 * lane + 1]]));
            for (column, slot) in slots.iter_mut().enumerate() {
                let at = 2 * TILE + column / 2 * 2 * TILE + 2 * lane + column % 2;
                *slot = scale(i64::from(group[at].cast_signed()) * factor, shift);
            }
        }
    }

    /// The products with every vector of the block, one after the other, with `fraction` fractional bits.
    /// `out` is overwritten.
    pub fn product(
        &self,
        block: &Block,
        fraction: i32,
        machine: &Machine,
        space: &mut Space,
        out: &mut Vec<i32>,
    ) {
        let count = block.count();
        out.resize(self.rows * count, 0);
        let tiles = self.rows.div_ceil(TILE);
        // Some pieces per thread, so that a thread that was put aside does not hold up the rest.
        let threads = machine.workers.count();
        let step = if threads == 1 { tiles } else { tiles.div_ceil(4 * threads) };
        if count == 1 {
            let mut pieces: Vec<(usize, &mut [i32])> =
                out.chunks_mut(step * TILE).enumerate().collect();
            machine.workers.each(&mut pieces, |(piece, out)| {
                for (i, rows) in out.chunks_mut(TILE).enumerate() {
                    self.tile_times_one(*piece * step + i, block, fraction, machine.kernels, rows);
                }
            });
            return;
        }
        // By tile first, then turned: a piece of work owns whole tiles.
        space.turned.resize(tiles * TILE * count, 0);
        let mut pieces: Vec<(usize, &mut [i32])> =
            space.turned.chunks_mut(step * TILE * count).enumerate().collect();
        machine.workers.each(&mut pieces, |(piece, turned)| {
            // Vectors in bands that stay in the cache while all tiles pass.
            for start in (0..count).step_by(BAND) {
                let band = start..count.min(start + BAND);
                for (i, rows) in turned.chunks_mut(TILE * count).enumerate() {
                    let rows = &mut rows[TILE * band.start..TILE * band.end];
                    self.tile_times_band(
                        *piece * step + i,
                        block,
                        band.clone(),
                        fraction,
                        machine.kernels,
                        rows,
                    );
                }
            }
        });
        let turned = &space.turned;
        let mut rows: Vec<(usize, &mut [i32])> = out.chunks_mut(self.rows).enumerate().collect();
        machine.workers.each(&mut rows, |(i, out)| {
            let lanes = |tile: usize| &turned[(tile * count + *i) * TILE..][..TILE];
            let (whole, rest) = out.as_chunks_mut::<TILE>();
            for (tile, rows) in whole.iter_mut().enumerate() {
                rows.copy_from_slice(lanes(tile));
            }
            if !rest.is_empty() {
                rest.copy_from_slice(&lanes(whole.len())[..rest.len()]);
            }
        });
    }

    fn tile(&self, tile: usize) -> &[u8] {
        &self.tiles()[tile * self.tile_bytes()..][..self.tile_bytes()]
    }

    fn shifts(&self, tile: usize) -> &[i8] {
        let end = self.rows.min((tile + 1) * TILE);
        &self.fractions[tile * TILE..end]
    }

    fn tile_times_one(
        &self,
        tile: usize,
        block: &Block,
        fraction: i32,
        kernels: Kernels,
        out: &mut [i32],
    ) {
        let sums = (kernels.dot)(self.tile(tile), block.vector(0));
        settle(&sums, self.shifts(tile), block.fractions[0] - fraction, out);
    }

    fn tile_times_band(
        &self,
        tile: usize,
        block: &Block,
        band: Range<usize>,
        fraction: i32,
        kernels: Kernels,
        out: &mut [i32],
    ) {
        let (bytes, shifts) = (self.tile(tile), self.shifts(tile));
        let whole = band.len() / WIDE * WIDE;
        let (wide, rest) = out.split_at_mut(TILE * whole);
        for (i, out) in band.clone().step_by(WIDE).zip(wide.chunks_mut(TILE * WIDE)) {
            let sums = (kernels.dot_wide)(bytes, std::array::from_fn(|k| block.vector(i + k)));
            for (k, (sums, out)) in sums.iter().zip(out.chunks_mut(TILE)).enumerate() {
                settle(sums, shifts, block.fractions[i + k] - fraction, out);
            }
        }
        for (i, out) in band.skip(whole).zip(rest.chunks_mut(TILE)) {
            let sums = (kernels.dot)(bytes, block.vector(i));
            settle(&sums, shifts, block.fractions[i] - fraction, out);
        }
    }
}

/// Brings exact sums to the wanted fraction.
fn settle(sums: &[i64; TILE], shifts: &[i8], fraction: i32, out: &mut [i32]) {
    for ((slot, sum), shift) in out.iter_mut().zip(sums).zip(shifts) {
        *slot = scale(*sum, i32::from(*shift) + fraction);
    }
}
