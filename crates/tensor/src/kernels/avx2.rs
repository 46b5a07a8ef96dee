//! x86-64 with AVX2: 16 products of 8-bit weights (sign-extended) and 16-bit activations at once.

#![expect(unsafe_code, reason = "vector loads, stores, and entry behind run-time detection")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_epi64, _mm256_cvtepu16_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_epi32, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256,
};

use super::{GROUP_BYTES, Kernels, PAIRS, Rows, WIDE, split};
use crate::int1::attention::PAGE;

/// The kernels, where the machine has AVX2.
pub fn kernels() -> Option<Kernels> {
    std::arch::is_x86_feature_detected!("avx2").then_some(Kernels {
        name: "avx2",
        dot,
        dot_wide,
        scores,
        mix,
    })
}

fn dot(tile: &[u8], vector: &[u32]) -> Rows {
    // SAFETY: `kernels` hands this function out only where AVX2 was detected.
    let [rows] = unsafe { product(tile, [vector]) };
    rows
}

fn dot_wide(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    // SAFETY: as for `dot`.
    unsafe { product(tile, vectors) }
}

pub(super) fn scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    // SAFETY: as for `dot`; the AVX-512 set is handed out only where AVX2 is present too.
    unsafe { page_scores(keys, query) }
}

pub(super) fn mix(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    // SAFETY: as for `scores`.
    unsafe { page_mix(values, weights, sums) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[i16; 16]) -> __m256i {
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i) -> [i64; 4] {
    let mut words = [0; 4];
    // SAFETY: 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    words
}

#[target_feature(enable = "avx2")]
fn product<const N: usize>(tile: &[u8], vectors: [&[u32]; N]) -> [Rows; N] {
    let zero = _mm256_setzero_si256();
    let vectors = vectors.map(|vector| vector.as_chunks::<PAIRS>().0);
    // Per vector: even and odd rows of the lower eight, then of the upper eight.
    let mut sums = [[zero; 4]; N];
    for (g, group) in tile.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
        let parts = group.as_chunks::<16>().0;
        let (scales, weights) = parts.split_at(2);
        let vectors: [&[u32; PAIRS]; N] = vectors.map(|vector| &vector[g]);
        let mut inner = [[zero; 2]; N];
        for (j, columns) in weights.as_chunks::<2>().0.iter().enumerate() {
            let low = _mm256_cvtepi8_epi16(load_bytes(&columns[0]));
            let high = _mm256_cvtepi8_epi16(load_bytes(&columns[1]));
            for (inner, vector) in inner.iter_mut().zip(vectors) {
                let pair = _mm256_set1_epi32(vector[j].cast_signed());
                inner[0] = _mm256_add_epi32(inner[0], _mm256_madd_epi16(low, pair));
                inner[1] = _mm256_add_epi32(inner[1], _mm256_madd_epi16(high, pair));
            }
        }
        for (half, bytes) in scales.iter().enumerate() {
            let even = _mm256_cvtepu16_epi32(load_bytes(bytes));
            let odd = _mm256_srli_epi64::<32>(even);
            for (sums, inner) in sums.iter_mut().zip(&inner) {
                let inner = inner[half];
                let upper = _mm256_srli_epi64::<32>(inner);
                sums[2 * half] = _mm256_add_epi64(sums[2 * half], _mm256_mul_epi32(inner, even));
                sums[2 * half + 1] =
                    _mm256_add_epi64(sums[2 * half + 1], _mm256_mul_epi32(upper, odd));
            }
        }
    }
    sums.map(|sums| {
        let parts = sums.map(|sum| store(sum));
        // Even rows are in the even parts, odd rows in the odd ones.
        std::array::from_fn(|row| parts[2 * (row / 8) + row % 2][row % 8 / 2])
    })
}

#[target_feature(enable = "avx2")]
fn page_scores(keys: &[i16], query: &[u32]) -> [i64; PAGE] {
    let mut sums = [0i64; PAGE];
    // 128 products of two 13-bit mantissas fit 32 bits.
    for (keys, query) in keys.chunks(64 * 2 * PAGE).zip(query.chunks(64)) {
        let mut inner = [_mm256_setzero_si256(); 4];
        for (columns, pair) in keys.as_chunks::<16>().0.as_chunks::<4>().0.iter().zip(query) {
            let pair = _mm256_set1_epi32(pair.cast_signed());
            for (inner, column) in inner.iter_mut().zip(columns) {
                *inner = _mm256_add_epi32(*inner, _mm256_madd_epi16(load(column), pair));
            }
        }
        for (inner, sums) in inner.into_iter().zip(sums.as_chunks_mut::<8>().0) {
            add_to(sums, widen(inner));
        }
    }
    sums
}

/// Eight 32-bit words as two vectors of 64-bit ones.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(words: __m256i) -> [__m256i; 2] {
    [
        _mm256_cvtepi32_epi64(_mm256_castsi256_si128(words)),
        _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(words)),
    ]
}

/// Adds eight 64-bit words.
#[inline]
#[target_feature(enable = "avx2")]
fn add_to(sums: &mut [i64; 8], words: [__m256i; 2]) {
    for (sums, words) in sums.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        // SAFETY: 32 readable bytes; the load needs no alignment.
        let before = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
        *sums = store(_mm256_add_epi64(before, words));
    }
}

#[target_feature(enable = "avx2")]
fn page_mix(values: &[i16], weights: &[u32; PAGE], sums: &mut [i64]) {
    let (high, low) = split(weights);
    let width = sums.len();
    let mut at = 0;
    // Thirty-two channels at a time (a row of them is two lines of the cache), then sixteen, then eight.
    while at + 32 <= width {
        channels::<4>(values, width, at, &high, &low, sums);
        at += 32;
    }
    if at + 16 <= width {
        channels::<2>(values, width, at, &high, &low, sums);
        at += 16;
    }
    if at + 8 <= width {
        channels::<1>(values, width, at, &high, &low, sums);
        at += 8;
    }
    if at < width {
        super::scalar::mix_from(at, values, weights, sums);
    }
}

/// `8 * N` channels from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn channels<const N: usize>(
    values: &[i16],
    width: usize,
    at: usize,
    high: &[u32; PAGE / 2],
    low: &[u32; PAGE / 2],
    sums: &mut [i64],
) {
    let zero = _mm256_setzero_si256();
    let (mut above, mut below) = ([zero; N], [zero; N]);
    for (row, (high, low)) in values.chunks_exact(2 * width).zip(high.iter().zip(low)) {
        let (high, low) =
            (_mm256_set1_epi32(high.cast_signed()), _mm256_set1_epi32(low.cast_signed()));
        for (n, column) in row[2 * at..].as_chunks::<16>().0.iter().take(N).enumerate() {
            let column = load(column);
            above[n] = _mm256_add_epi32(above[n], _mm256_madd_epi16(column, high));
            below[n] = _mm256_add_epi32(below[n], _mm256_madd_epi16(column, low));
        }
    }
    for (sums, (above, below)) in
        sums[at..].as_chunks_mut::<8>().0.iter_mut().zip(above.into_iter().zip(below))
    {
        let (above, below) = (widen(above), widen(below));
        let whole =
            |half: usize| _mm256_add_epi64(_mm256_slli_epi64::<11>(above[half]), below[half]);
        add_to(sums, [whole(0), whole(1)]);
    }
}
