//! The reference: what every other kernel must equal.

use super::{GROUP_BYTES, Kernels, PAIRS, Rows, TILE, WIDE, unpair};
use crate::int1::attention::PAGE;

/// Plain loops.
pub const KERNELS: Kernels = Kernels { name: "scalar", dot, dot_wide, scores, mix };

fn dot(tile: &[u8], vector: &[u32]) -> Rows {
    let mut sums = [0i64; TILE];
    for (group, pairs) in
        tile.as_chunks::<GROUP_BYTES>().0.iter().zip(vector.as_chunks::<PAIRS>().0)
    {
        let (scales, weights) = group.split_at(2 * TILE);
        let mut inner = [0i32; TILE];
        for (columns, pair) in weights.as_chunks::<{ 2 * TILE }>().0.iter().zip(pairs) {
            let [even, odd] = unpair(*pair).map(i32::from);
            for (sum, two) in inner.iter_mut().zip(columns.as_chunks::<2>().0) {
                *sum +=
                    i32::from(two[0].cast_signed()) * even + i32::from(two[1].cast_signed()) * odd;
            }
        }
        for ((sum, inner), scale) in sums.iter_mut().zip(inner).zip(scales.as_chunks::<2>().0) {
            *sum += i64::from(inner) * i64::from(u16::from_le_bytes(*scale));
        }
    }
    sums
}

fn dot_wide(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    vectors.map(|vector| dot(tile, vector))
}

fn scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    let mut sums = [0i64; PAGE];
    for (columns, pair) in keys.as_chunks::<{ 2 * PAGE }>().0.iter().zip(query) {
        let [even, odd] = unpair(*pair).map(i64::from);
        for (sum, two) in sums.iter_mut().zip(columns.as_chunks::<2>().0) {
            *sum += i64::from(two[0]) * even + i64::from(two[1]) * odd;
        }
    }
    sums
}

fn mix(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    mix_from(0, values, weights, sums);
}

/// The channels from `at` on: what is left where a head's width is no multiple of a vector's.
pub(super) fn mix_from(at: usize, values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    for (positions, two) in values.chunks_exact(2 * sums.len()).zip(weights.as_chunks::<2>().0) {
        let [even, odd] = two.map(i64::from);
        for (sum, value) in sums.iter_mut().zip(positions.as_chunks::<2>().0).skip(at) {
            *sum += i64::from(value[0]) * even + i64::from(value[1]) * odd;
        }
    }
}
