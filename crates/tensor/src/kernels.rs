//! The inner loops, once per instruction set. All give the bits of [`scalar`].

pub mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use crate::int1::attention::PAGE;

/// Columns that share a scale.
pub const GROUP: usize = 32;
/// Rows of a tile.
pub const TILE: usize = 16;
/// Bytes of one group of a tile: 16 scales of 16 bits, then for each pair of columns the two weights of
/// each row.
pub const GROUP_BYTES: usize = 2 * TILE + TILE * GROUP;
/// Pairs of activations in a group.
pub const PAIRS: usize = GROUP / 2;
/// Vectors that the widest kernel multiplies at once.
pub const WIDE: usize = 4;

/// Weighted sums of one tile's rows.
pub type Rows = [i64; TILE];

/// One instruction set's inner loops.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// What it is called in reports.
    pub name: &'static str,
    /// The rows of one tile times one vector. `tile` is whole groups of [`GROUP_BYTES`]; the vector has
    /// [`PAIRS`] words per group, each two activations, the even one in the low half.
    pub dot: fn(tile: &[u8], vector: &[u32]) -> Rows,
    /// The same for [`WIDE`] vectors.
    pub dot_wide: fn(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE],
    /// The dot products of a query with the 32 keys of a page. The page holds, for each pair of elements,
    /// the two of each position; the query is pairs as above.
    pub scores: fn(keys: &[i16], query: &[u32]) -> [i64; PAGE],
    /// Adds to `sums` the weighted values of a page, which holds, for each pair of positions, the two of
    /// each channel. Weights are below `2^22`.
    pub mix: fn(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]),
}

impl Kernels {
    /// The fastest that this machine runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().into_iter().next_back().unwrap_or(scalar::KERNELS)
    }

    /// All that this machine runs, the slowest first. The operating system's part (XCR0) is checked
    /// as well as the processor's.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = vec![scalar::KERNELS];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(avx2::kernels());
            all.extend(avx512::kernels());
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::kernels());
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        all.push(simd128::KERNELS);
        all
    }
}

/// Two halves of a pair.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the two halves of a word")]
pub(crate) const fn unpair(pair: u32) -> [i16; 2] {
    [pair as i16, (pair >> 16) as i16]
}

/// A pair of activations.
#[inline]
#[allow(clippy::cast_sign_loss, reason = "the bits are what is wanted")]
pub(crate) const fn pair(even: i16, odd: i16) -> u32 {
    even as u16 as u32 | (odd as u16 as u32) << 16
}

/// The digits of a page's weights, in pairs of positions: high and low 11 bits.
#[allow(clippy::cast_possible_truncation, reason = "11 bits")]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")),
    expect(dead_code, reason = "only vector kernels split")
)]
pub(crate) fn split(weights: &[u32; PAGE]) -> ([u32; PAGE / 2], [u32; PAGE / 2]) {
    let mut high = [0; PAGE / 2];
    let mut low = [0; PAGE / 2];
    for (i, two) in weights.as_chunks::<2>().0.iter().enumerate() {
        high[i] = pair((two[0] >> 11) as i16, (two[1] >> 11) as i16);
        low[i] = pair((two[0] & 2047) as i16, (two[1] & 2047) as i16);
    }
    (high, low)
}
