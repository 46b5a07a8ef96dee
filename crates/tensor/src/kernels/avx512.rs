//! x86-64 with AVX-512: a whole tile of 16 rows in one register; with VNNI, multiply, add pairs and
//! accumulate in one instruction.

#![expect(unsafe_code, reason = "vector loads, stores, and entry behind run-time detection")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm512_add_epi32, _mm512_add_epi64, _mm512_cvtepi8_epi16,
    _mm512_cvtepu16_epi32, _mm512_dpwssd_epi32, _mm512_madd_epi16, _mm512_mul_epi32,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srli_epi64, _mm512_storeu_si512,
};

use super::avx2::{mix, scores};
use super::{GROUP_BYTES, Kernels, PAIRS, Rows, TILE, WIDE};

/// The kernels that the machine has, VNNI last. The attention loops are AVX2's.
pub fn kernels() -> Vec<Kernels> {
    let mut all = vec![];
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
    {
        all.push(Kernels { name: "avx512", dot: dot_plain, dot_wide: dot_wide_plain, scores, mix });
        if std::arch::is_x86_feature_detected!("avx512vnni") {
            all.push(Kernels {
                name: "avx512vnni",
                dot: dot_vnni,
                dot_wide: dot_wide_vnni,
                scores,
                mix,
            });
        }
    }
    all
}

fn dot_plain(tile: &[u8], vector: &[u32]) -> Rows {
    // SAFETY: `kernels` hands this function out only where AVX-512 F and BW were detected.
    let [rows] = unsafe { product(tile, [vector]) };
    rows
}

fn dot_wide_plain(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    // SAFETY: as for `dot_plain`.
    unsafe { product(tile, vectors) }
}

fn dot_vnni(tile: &[u8], vector: &[u32]) -> Rows {
    // SAFETY: `kernels` hands this function out only where VNNI was detected as well.
    let [rows] = unsafe { product_vnni(tile, [vector]) };
    rows
}

fn dot_wide_vnni(tile: &[u8], vectors: [&[u32]; WIDE]) -> [Rows; WIDE] {
    // SAFETY: as for `dot_vnni`.
    unsafe { product_vnni(tile, vectors) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i) -> [i64; 8] {
    let mut words = [0; 8];
    // SAFETY: 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scaled<const N: usize>(scales: &[u8; 32], inner: [__m512i; N], sums: &mut [[__m512i; 2]; N]) {
    let even = _mm512_cvtepu16_epi32(load(scales));
    let odd = _mm512_srli_epi64::<32>(even);
    for (sums, inner) in sums.iter_mut().zip(inner) {
        sums[0] = _mm512_add_epi64(sums[0], _mm512_mul_epi32(inner, even));
        sums[1] = _mm512_add_epi64(sums[1], _mm512_mul_epi32(_mm512_srli_epi64::<32>(inner), odd));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rows(sums: [__m512i; 2]) -> Rows {
    let (even, odd) = (store(sums[0]), store(sums[1]));
    std::array::from_fn(|row| if row % 2 == 0 { even[row / 2] } else { odd[row / 2] })
}

/// A product whose pairs of columns are multiplied and added by an instruction of the named features.
macro_rules! product {
    ($name:ident, $features:literal, $accumulate:ident) => {
        #[target_feature(enable = $features)]
        fn $name<const N: usize>(tile: &[u8], vectors: [&[u32]; N]) -> [Rows; N] {
            let zero = _mm512_setzero_si512();
            let vectors = vectors.map(|vector| vector.as_chunks::<PAIRS>().0);
            let mut sums = [[zero; 2]; N];
            for (g, group) in tile.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
                let parts = group.as_chunks::<{ 2 * TILE }>().0;
                let vectors: [&[u32; PAIRS]; N] = vectors.map(|vector| &vector[g]);
                let mut inner = [zero; N];
                for (j, columns) in parts[1..].iter().enumerate() {
                    let weights = _mm512_cvtepi8_epi16(load(columns));
                    for (inner, vector) in inner.iter_mut().zip(vectors) {
                        let pair = _mm512_set1_epi32(vector[j].cast_signed());
                        *inner = $accumulate(*inner, weights, pair);
                    }
                }
                scaled(&parts[0], inner, &mut sums);
            }
            sums.map(|sums| rows(sums))
        }
    };
}

product!(product, "avx512f,avx512bw", multiply_and_add);
product!(product_vnni, "avx512f,avx512bw,avx512vnni", _mm512_dpwssd_epi32);

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn multiply_and_add(sum: __m512i, weights: __m512i, pair: __m512i) -> __m512i {
    _mm512_add_epi32(sum, _mm512_madd_epi16(weights, pair))
}
