//! 64-bit ARM with NEON (its baseline): widening multiply-accumulate, pairs added at the end of a group.

#![expect(unsafe_code, reason = "vector loads, stores, and entry behind run-time detection")]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, int64x2_t, vaddq_s64, vdupq_n_s32, vdupq_n_s64, vdupq_n_u32, vget_low_s8,
    vget_low_s16, vget_low_s32, vget_low_u16, vld1q_s8, vld1q_s16, vld1q_u16, vmlal_high_s16,
    vmlal_high_s32, vmlal_s16, vmlal_s32, vmovl_high_s8, vmovl_high_s32, vmovl_high_u16, vmovl_s8,
    vmovl_s32, vmovl_u16, vpaddq_s32, vreinterpretq_s16_u32, vreinterpretq_s32_u32, vshlq_n_s64,
    vst1q_s64,
};

use super::{GROUP_BYTES, Kernels, PAIRS, Rows, TILE, WIDE, split};
use crate::int1::attention::PAGE;

/// The kernels, where the machine has NEON.
pub fn kernels() -> Option<Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(Kernels {
        name: "neon",
        dot,
        dot_wide,
        scores,
        mix,
    })
}

fn dot(tile: &[u8], vector: &[u32]) -> Rows {
    // SAFETY: `kernels` hands this function out only where NEON was detected.
    let [rows] = unsafe { product(tile, [vector]) };
    rows
}

fn dot_wide(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    let [a, b, c, d] = vectors;
    // SAFETY: as for `dot`. Two vectors at a time: their sums fill half the registers.
    let ([a, b], [c, d]) = unsafe { (product(tile, [a, b]), product(tile, [c, d])) };
    [a, b, c, d]
}

fn scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    // SAFETY: as for `dot`.
    unsafe { page_scores(keys, query) }
}

fn mix(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    // SAFETY: as for `dot`.
    unsafe { page_mix(values, weights, sums) }
}

#[inline]
#[target_feature(enable = "neon")]
fn spread(pair: u32) -> int16x8_t {
    vreinterpretq_s16_u32(vdupq_n_u32(pair))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(words: &[i16; 8]) -> int16x8_t {
    // SAFETY: 16 readable bytes.
    unsafe { vld1q_s16(words.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(vector: int64x2_t) -> [i64; 2] {
    let mut words = [0; 2];
    // SAFETY: 16 writable bytes.
    unsafe { vst1q_s64(words.as_mut_ptr(), vector) };
    words
}

/// Adds the products of eight words with a pair; lane `2k` and `2k + 1` belong together.
#[inline]
#[target_feature(enable = "neon")]
fn accumulate(sums: &mut [int32x4_t], words: int16x8_t, pair: int16x8_t) {
    sums[0] = vmlal_s16(sums[0], vget_low_s16(words), vget_low_s16(pair));
    sums[1] = vmlal_high_s16(sums[1], words, pair);
}

#[target_feature(enable = "neon")]
fn product<const N: usize>(tile: &[u8], vectors: [&[u32]; N]) -> [Rows; N] {
    let vectors = vectors.map(|vector| vector.as_chunks::<PAIRS>().0);
    let mut sums = [[vdupq_n_s64(0); 8]; N];
    for (g, group) in tile.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
        let (scales, weights) = group.as_chunks::<16>().0.split_at(2);
        let vectors: [&[u32; PAIRS]; N] = vectors.map(|vector| &vector[g]);
        let mut inner = [[vdupq_n_s32(0); 8]; N];
        for (j, columns) in weights.as_chunks::<2>().0.iter().enumerate() {
            for (half, bytes) in columns.iter().enumerate() {
                // SAFETY: 16 readable bytes.
                let bytes = unsafe { vld1q_s8(bytes.as_ptr().cast()) };
                let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
                for (inner, vector) in inner.iter_mut().zip(vectors) {
                    let pair = spread(vector[j]);
                    accumulate(&mut inner[4 * half..4 * half + 2], low, pair);
                    accumulate(&mut inner[4 * half + 2..4 * half + 4], high, pair);
                }
            }
        }
        for (half, bytes) in scales.iter().enumerate() {
            // SAFETY: 16 readable bytes; the load needs no alignment.
            let scales = unsafe { vld1q_u16(bytes.as_ptr().cast()) };
            let scales = [vmovl_u16(vget_low_u16(scales)), vmovl_high_u16(scales)]
                .map(|s| vreinterpretq_s32_u32(s));
            for (sums, inner) in sums.iter_mut().zip(&inner) {
                for (quarter, scale) in scales.iter().enumerate() {
                    let at = 4 * half + 2 * quarter;
                    let rows = vpaddq_s32(inner[at], inner[at + 1]);
                    sums[at] = vmlal_s32(sums[at], vget_low_s32(rows), vget_low_s32(*scale));
                    sums[at + 1] = vmlal_high_s32(sums[at + 1], rows, *scale);
                }
            }
        }
    }
    sums.map(|sums| {
        let mut rows = [0; TILE];
        for (slots, sum) in rows.as_chunks_mut::<2>().0.iter_mut().zip(sums) {
            *slots = store(sum);
        }
        rows
    })
}

#[target_feature(enable = "neon")]
fn page_scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    let mut sums = [0i64; PAGE];
    // 128 products of two 13-bit mantissas fit 32 bits.
    for (keys, query) in keys.chunks(64 * 2 * PAGE).zip(query.chunks(64)) {
        let mut inner = [vdupq_n_s32(0); 16];
        for (columns, pair) in keys.as_chunks::<8>().0.as_chunks::<8>().0.iter().zip(query) {
            let pair = spread(*pair);
            for (inner, column) in inner.as_chunks_mut::<2>().0.iter_mut().zip(columns) {
                accumulate(inner, load(column), pair);
            }
        }
        for (inner, sums) in inner.as_chunks::<2>().0.iter().zip(sums.as_chunks_mut::<4>().0) {
            let words = vpaddq_s32(inner[0], inner[1]);
            let (low, high) = (store(vmovl_s32(vget_low_s32(words))), store(vmovl_high_s32(words)));
            for (sum, word) in sums.iter_mut().zip(low.into_iter().chain(high)) {
                *sum += word;
            }
        }
    }
    sums
}

#[target_feature(enable = "neon")]
fn page_mix(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    let (high, low) = split(weights);
    let width = sums.len();
    for (b, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let (mut above, mut below) = ([vdupq_n_s32(0); 2], [vdupq_n_s32(0); 2]);
        let digits = high.iter().zip(&low);
        for (row, (high, low)) in values.chunks_exact(2 * width).zip(digits) {
            let column = load(&row.as_chunks::<8>().0[b]);
            accumulate(&mut above, column, spread(*high));
            accumulate(&mut below, column, spread(*low));
        }
        let above = vpaddq_s32(above[0], above[1]);
        let below = vpaddq_s32(below[0], below[1]);
        let first = vaddq_s64(
            vshlq_n_s64::<11>(vmovl_s32(vget_low_s32(above))),
            vmovl_s32(vget_low_s32(below)),
        );
        let second = vaddq_s64(vshlq_n_s64::<11>(vmovl_high_s32(above)), vmovl_high_s32(below));
        for (sum, word) in sums.iter_mut().zip(store(first).into_iter().chain(store(second))) {
            *sum += word;
        }
    }
    if width % 4 > 0 {
        super::scalar::mix_from(width - width % 4, values, weights, sums);
    }
}
