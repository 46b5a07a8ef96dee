//! WebAssembly with 128-bit vectors (a build-time choice): `i32x4.dot_i16x8_s`.

#![expect(unsafe_code, reason = "vector loads and stores")]

use std::arch::wasm32::{
    i8x16, i8x16_swizzle, i16x8_load_extend_i8x8, i32x4_add, i32x4_dot_i16x8, i32x4_splat,
    i64x2_add, i64x2_extend_high_i32x4, i64x2_extend_low_i32x4, i64x2_extmul_high_i32x4,
    i64x2_extmul_low_i32x4, i64x2_extract_lane, i64x2_shl, i64x2_splat, u32x4_splat, v128,
    v128_load, v128_store,
};
use std::hint::black_box;

use super::{GROUP_BYTES, Kernels, PAIRS, Rows, TILE, WIDE, split};
use crate::int1::attention::PAGE;

/// Four rows per instruction.
pub const KERNELS: Kernels = Kernels { name: "simd128", dot, dot_wide, scores, mix };

#[inline]
fn weights(bytes: &[u8; 8]) -> v128 {
    // SAFETY: 8 readable bytes; the load needs no alignment.
    unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
}

/// Which bytes of eight scales make four words, the lower and the upper half; not known to the compiler. It would
/// otherwise see that what they give is never negative, and no longer find the instruction that multiplies to twice the
/// width.
fn widen() -> [v128; 2] {
    black_box([
        i8x16(0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1),
        i8x16(8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15, -1, -1),
    ])
}

/// The scales of a group's rows.
#[inline(always)]
fn scales(group: &[u8; GROUP_BYTES], [low, high]: [v128; 2]) -> [v128; 4] {
    let halves = group.as_chunks::<16>().0;
    // SAFETY: 16 readable bytes; the load needs no alignment.
    let [first, second] =
        [&halves[0], &halves[1]].map(|bytes| unsafe { v128_load(bytes.as_ptr().cast()) });
    [
        i8x16_swizzle(first, low),
        i8x16_swizzle(first, high),
        i8x16_swizzle(second, low),
        i8x16_swizzle(second, high),
    ]
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

/// The weights of four rows, all columns of the group.
type Columns = [v128; PAIRS];

/// `each(0)` to `each(15)`, written out: whoever counts instructions counts those of loops, too, and addresses that
/// vary with a counter are computed, where those that do not are part of the load.
#[inline(always)]
fn each_pair(each: impl Fn(usize) -> v128) -> Columns {
    [
        each(0),
        each(1),
        each(2),
        each(3),
        each(4),
        each(5),
        each(6),
        each(7),
        each(8),
        each(9),
        each(10),
        each(11),
        each(12),
        each(13),
        each(14),
        each(15),
    ]
}

/// Products with all pairs of a group, summed: one expression, so that no sum is put aside between two additions.
#[inline(always)]
fn sum(columns: &Columns, pairs: &Columns) -> v128 {
    let p = each_pair(|j| i32x4_dot_i16x8(columns[j], pairs[j]));
    let mut all = p[0];
    for product in &p[1..] {
        all = i32x4_add(all, *product);
    }
    all
}

/// Adds a group's products with the four rows from `4 * Q` on to the sums of `N` vectors.
#[inline(always)]
fn add_quarter<const Q: usize, const N: usize>(
    sums: &mut [[v128; 8]; N],
    group: &[u8; GROUP_BYTES],
    factor: v128,
    pairs: &[Columns; N],
) {
    let columns = &group.as_chunks::<8>().0[4..];
    let four = each_pair(|j| weights(&columns[4 * j + Q]));
    let mut one = |k: usize| {
        let (sums, inner) = (&mut sums[k], sum(&four, &pairs[k]));
        sums[2 * Q] = i64x2_add(sums[2 * Q], i64x2_extmul_low_i32x4(inner, factor));
        sums[2 * Q + 1] = i64x2_add(sums[2 * Q + 1], i64x2_extmul_high_i32x4(inner, factor));
    };
    one(0);
    if N == WIDE {
        one(1);
        one(2);
        one(3);
    }
}

#[inline(always)]
fn splats(vector: &[u32; PAIRS]) -> Columns {
    each_pair(|j| u32x4_splat(vector[j]))
}

/// Adds a group's products to the sums of `N` vectors.
#[inline(always)]
fn add_group<const N: usize>(
    sums: &mut [[v128; 8]; N],
    group: &[u8; GROUP_BYTES],
    pairs: &[Columns; N],
    widen: [v128; 2],
) {
    let [a, b, c, d] = scales(group, widen);
    add_quarter::<0, N>(sums, group, a, pairs);
    add_quarter::<1, N>(sums, group, b, pairs);
    add_quarter::<2, N>(sums, group, c, pairs);
    add_quarter::<3, N>(sums, group, d, pairs);
}

// `black_box` in the loops below: where the compiler sees that addresses advance evenly, it computes each anew instead
// of leaving its constant part to the load.

fn dot(tile: &[u8], vector: &[u32]) -> Rows {
    let groups = tile.as_chunks::<GROUP_BYTES>().0;
    let (widen, mut sums) = (widen(), [[i64x2_splat(0); 8]]);
    for both in groups.iter().zip(vector.as_chunks::<PAIRS>().0) {
        let (group, vector) = black_box(both);
        add_group(&mut sums, group, &[splats(vector)], widen);
    }
    rows(&sums[0])
}

fn dot_wide(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    let groups = tile.as_chunks::<GROUP_BYTES>().0;
    let [a, b, c, d] = vectors.map(|vector| vector.as_chunks::<PAIRS>().0.iter());
    let (widen, mut sums) = (widen(), [[i64x2_splat(0); 8]; WIDE]);
    for ((((group, a), b), c), d) in groups.iter().zip(a).zip(b).zip(c).zip(d) {
        let (group, a, b, c, d) = black_box((group, a, b, c, d));
        add_group(&mut sums, group, &[splats(a), splats(b), splats(c), splats(d)], widen);
    }
    [rows(&sums[0]), rows(&sums[1]), rows(&sums[2]), rows(&sums[3])]
}

#[inline(always)]
fn rows(sums: &[v128; 8]) -> Rows {
    let mut rows = [0; TILE];
    for (slots, sum) in rows.as_chunks_mut::<2>().0.iter_mut().zip(sums) {
        *slots = lanes(*sum);
    }
    rows
}

fn scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    let mut sums = [0i64; PAGE];
    // 128 products of two 13-bit mantissas fit 32 bits.
    for (keys, query) in keys.chunks(64 * 2 * PAGE).zip(query.chunks(64)) {
        let mut inner = [i32x4_splat(0); 8];
        let (many, rest) = query.as_chunks::<PAIRS>();
        let (columns, last) = keys.as_chunks::<SIXTEEN_COLUMNS>();
        for both in columns.iter().zip(many) {
            let (columns, query) = black_box(both);
            add_columns(&mut inner, columns, &splats(query));
        }
        for (columns, pair) in last.as_chunks::<8>().0.as_chunks::<8>().0.iter().zip(rest) {
            let pair = u32x4_splat(*pair);
            for (inner, column) in inner.iter_mut().zip(columns) {
                *inner = i32x4_add(*inner, i32x4_dot_i16x8(load(column), pair));
            }
        }
        for (inner, sums) in inner.into_iter().zip(sums.as_chunks_mut::<4>().0) {
            add_words(sums, [i64x2_extend_low_i32x4(inner), i64x2_extend_high_i32x4(inner)]);
        }
    }
    sums
}

/// Numbers of 16 pairs of elements of a page.
const SIXTEEN_COLUMNS: usize = PAIRS * 2 * PAGE;

/// Adds the products of all positions with 16 pairs of a query.
#[inline(always)]
fn add_columns(inner: &mut [v128; 8], columns: &[i16; SIXTEEN_COLUMNS], pairs: &Columns) {
    let columns = columns.as_chunks::<8>().0;
    let four = |q: usize| sum(&each_pair(|j| load(&columns[8 * j + q])), pairs);
    inner[0] = i32x4_add(inner[0], four(0));
    inner[1] = i32x4_add(inner[1], four(1));
    inner[2] = i32x4_add(inner[2], four(2));
    inner[3] = i32x4_add(inner[3], four(3));
    inner[4] = i32x4_add(inner[4], four(4));
    inner[5] = i32x4_add(inner[5], four(5));
    inner[6] = i32x4_add(inner[6], four(6));
    inner[7] = i32x4_add(inner[7], four(7));
}

fn add_words(sums: &mut [i64; 4], [low, high]: [v128; 2]) {
    let [first, second] = sums.as_chunks_mut::<2>().0 else { return };
    for (sums, words) in [(first, low), (second, high)] {
        // SAFETY: 16 bytes that may be read and written; neither needs alignment.
        unsafe {
            let at: *mut v128 = sums.as_mut_ptr().cast();
            v128_store(at, i64x2_add(v128_load(at), words));
        }
    }
}

fn mix(values: &[i16], page_weights: &[u32; PAGE], sums: &mut [i64]) {
    let (high, low) = split(page_weights);
    let (high, low) = (splats(&high), splats(&low));
    let width = sums.len();
    for (b, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let row = |j: usize| load(&values[2 * width * j..][..2 * width].as_chunks::<8>().0[b]);
        let columns = each_pair(row);
        let (above, below) = (sum(&columns, &high), sum(&columns, &low));
        let first =
            i64x2_add(i64x2_shl(i64x2_extend_low_i32x4(above), 11), i64x2_extend_low_i32x4(below));
        let second = i64x2_add(
            i64x2_shl(i64x2_extend_high_i32x4(above), 11),
            i64x2_extend_high_i32x4(below),
        );
        add_words(sums, [first, second]);
    }
    if width % 4 > 0 {
        super::scalar::mix_from(width - width % 4, values, page_weights, sums);
    }
}
