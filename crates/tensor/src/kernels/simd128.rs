//! WebAssembly with 128-bit vectors (a build-time choice): `i32x4.dot_i16x8_s`.

#![expect(unsafe_code, reason = "vector loads and stores")]

use std::arch::wasm32::{
    i16x8_load_extend_i8x8, i32x4_add, i32x4_dot_i16x8, i32x4_splat, i64x2_add,
    i64x2_extend_high_i32x4, i64x2_extend_low_i32x4, i64x2_extmul_high_i32x4,
    i64x2_extmul_low_i32x4, i64x2_extract_lane, i64x2_shl, i64x2_splat, u32x4_load_extend_u16x4,
    u32x4_splat, v128, v128_load,
};

use super::{GROUP_BYTES, Kernels, PAIRS, Rows, TILE, WIDE, split};
use crate::int1::attention::PAGE;

/// Four rows per instruction.
pub const KERNELS: Kernels = Kernels { name: "simd128", dot, dot_wide, scores, mix };

fn dot(tile: &[u8], vector: &[u32]) -> Rows {
    let [rows] = product(tile, [vector]);
    rows
}

fn dot_wide(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    product(tile, vectors)
}

#[inline]
fn weights(bytes: &[u8; 8]) -> v128 {
    // SAFETY: 8 readable bytes; the load needs no alignment.
    unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
}

#[inline]
fn scales(bytes: &[u8; 8]) -> v128 {
    // SAFETY: 8 readable bytes; the load needs no alignment.
    unsafe { u32x4_load_extend_u16x4(bytes.as_ptr().cast()) }
}

#[inline]
fn load(words: &[i16; 8]) -> v128 {
    // SAFETY: 16 readable bytes; the load needs no alignment.
    unsafe { v128_load(words.as_ptr().cast()) }
}

#[inline]
fn lanes(words: v128) -> [i64; 2] {
    [i64x2_extract_lane::<0>(words), i64x2_extract_lane::<1>(words)]
}

fn product<const N: usize>(tile: &[u8], vectors: [&[u32]; N]) -> [Rows; N] {
    let vectors = vectors.map(|vector| vector.as_chunks::<PAIRS>().0);
    let mut sums = [[i64x2_splat(0); 8]; N];
    for (g, group) in tile.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
        let (factors, columns) = group.as_chunks::<8>().0.split_at(4);
        let vectors: [&[u32; PAIRS]; N] = vectors.map(|vector| &vector[g]);
        let mut inner = [[i32x4_splat(0); 4]; N];
        for (j, column) in columns.as_chunks::<4>().0.iter().enumerate() {
            let column = [
                weights(&column[0]),
                weights(&column[1]),
                weights(&column[2]),
                weights(&column[3]),
            ];
            for (inner, vector) in inner.iter_mut().zip(vectors) {
                let pair = u32x4_splat(vector[j]);
                for (inner, column) in inner.iter_mut().zip(column) {
                    *inner = i32x4_add(*inner, i32x4_dot_i16x8(column, pair));
                }
            }
        }
        for (q, bytes) in factors.iter().enumerate() {
            let factor = scales(bytes);
            for (sums, inner) in sums.iter_mut().zip(&inner) {
                sums[2 * q] = i64x2_add(sums[2 * q], i64x2_extmul_low_i32x4(inner[q], factor));
                sums[2 * q + 1] =
                    i64x2_add(sums[2 * q + 1], i64x2_extmul_high_i32x4(inner[q], factor));
            }
        }
    }
    sums.map(|sums| {
        let mut rows = [0; TILE];
        for (slots, sum) in rows.as_chunks_mut::<2>().0.iter_mut().zip(sums) {
            *slots = lanes(sum);
        }
        rows
    })
}

fn scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    let mut sums = [0i64; PAGE];
    // 128 products of two 13-bit mantissas fit 32 bits.
    for (keys, query) in keys.chunks(64 * 2 * PAGE).zip(query.chunks(64)) {
        let mut inner = [i32x4_splat(0); 8];
        for (columns, pair) in keys.as_chunks::<8>().0.as_chunks::<8>().0.iter().zip(query) {
            let pair = u32x4_splat(*pair);
            for (inner, column) in inner.iter_mut().zip(columns) {
                *inner = i32x4_add(*inner, i32x4_dot_i16x8(load(column), pair));
            }
        }
        for (inner, sums) in inner.into_iter().zip(sums.as_chunks_mut::<4>().0) {
            let (low, high) =
                (lanes(i64x2_extend_low_i32x4(inner)), lanes(i64x2_extend_high_i32x4(inner)));
            for (sum, word) in sums.iter_mut().zip(low.into_iter().chain(high)) {
                *sum += word;
            }
        }
    }
    sums
}

fn mix(values: &[i16], page_weights: &[u32; PAGE], sums: &mut [i64]) {
    let (high, low) = split(page_weights);
    let width = sums.len();
    for (b, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let (mut above, mut below) = (i32x4_splat(0), i32x4_splat(0));
        let digits = high.iter().zip(&low);
        for (row, (high, low)) in values.chunks_exact(2 * width).zip(digits) {
            let column = load(&row.as_chunks::<8>().0[b]);
            above = i32x4_add(above, i32x4_dot_i16x8(column, u32x4_splat(*high)));
            below = i32x4_add(below, i32x4_dot_i16x8(column, u32x4_splat(*low)));
        }
        let first =
            i64x2_add(i64x2_shl(i64x2_extend_low_i32x4(above), 11), i64x2_extend_low_i32x4(below));
        let second = i64x2_add(
            i64x2_shl(i64x2_extend_high_i32x4(above), 11),
            i64x2_extend_high_i32x4(below),
        );
        for (sum, word) in sums.iter_mut().zip(lanes(first).into_iter().chain(lanes(second))) {
            *sum += word;
        }
    }
    if width % 4 > 0 {
        super::scalar::mix_from(width - width % 4, values, page_weights, sums);
    }
}
