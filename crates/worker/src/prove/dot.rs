//! Exact sums of products of small numbers: a tile at a time, with the widest instructions there are. Every
//! way gives the same bits, because integers have no order of summation.

use tilth_protocol::challenge::product::{TILE, TILE_SUMS};

const SIDE: usize = TILE as usize;

/// How tiles are computed on this processor. The order of the matrices is a multiple of 64.
pub(super) type Kernel = fn(left: &[i16], right: &[i16], order: usize) -> [i32; TILE_SUMS];

/// The fastest way that this processor knows.
pub(super) fn best() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return wide;
    }
    plain
}

/// Any processor.
pub(super) fn plain(left: &[i16], right: &[i16], order: usize) -> [i32; TILE_SUMS] {
    let mut sums = [0; TILE_SUMS];
    for (row, sums) in left.chunks_exact(order).zip(sums.chunks_exact_mut(SIDE)) {
        for (column, sum) in right.chunks_exact(order).zip(sums) {
            *sum = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        }
    }
    sums
}

/// With AVX2. Only [`best`] hands this out, after it has looked whether the processor has it.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "instructions that the processor was asked about")]
fn wide(left: &[i16], right: &[i16], order: usize) -> [i32; TILE_SUMS] {
    // SAFETY: `best` has found AVX2 on this processor.
    unsafe { avx2::tile(left, right, order) }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "loads of vectors from slices")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_setzero_si256,
    };

    use super::{SIDE, TILE_SUMS};

    /// Numbers in a vector.
    const WIDTH: usize = 16;
    /// Rows and columns whose sums are kept in registers: eight sums, two rows, one column of sixteen.
    const ROWS: usize = 2;
    const COLUMNS: usize = 4;

    #[target_feature(enable = "avx2")]
    pub(super) fn tile(left: &[i16], right: &[i16], order: usize) -> [i32; TILE_SUMS] {
        let mut sums = [0; TILE_SUMS];
        for top in (0..SIDE).step_by(ROWS) {
            for side in (0..SIDE).step_by(COLUMNS) {
                let rows: [&[i16]; ROWS] = std::array::from_fn(|row| line(left, top + row, order));
                let columns: [&[i16]; COLUMNS] =
                    std::array::from_fn(|column| line(right, side + column, order));
                let mut kept = [[_mm256_setzero_si256(); COLUMNS]; ROWS];
                for from in (0..order).step_by(WIDTH) {
                    let rows = [load(rows[0], from), load(rows[1], from)];
                    for (column, numbers) in columns.iter().enumerate() {
                        let numbers = load(numbers, from);
                        for (row, kept) in rows.iter().zip(&mut kept) {
                            // Two products of at most 2^14 each: far from where this one wraps.
                            let pairs = _mm256_madd_epi16(*row, numbers);
                            kept[column] = _mm256_add_epi32(kept[column], pairs);
                        }
                    }
                }
                for (row, kept) in kept.iter().enumerate() {
                    for (column, kept) in kept.iter().enumerate() {
                        sums[(top + row) * SIDE + side + column] = all(*kept);
                    }
                }
            }
        }
        sums
    }

    fn line(lines: &[i16], number: usize, order: usize) -> &[i16] {
        &lines[number * order..(number + 1) * order]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(numbers: &[i16], from: usize) -> __m256i {
        let numbers: &[i16] = &numbers[from..from + WIDTH];
        // SAFETY: the slice has as many numbers as the vector, and this load asks for no alignment.
        unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
    }

    /// The sum of all eight.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn all(numbers: __m256i) -> i32 {
        let four =
            _mm_add_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_same_sums() {
        for order in [64, 128, 1024] {
            let numbers = |salt: usize| -> Vec<i16> {
                let number = |at: usize| match at % 7 {
                    0 => -128,
                    1 => 127,
                    _ => i16::try_from((at * 31 + salt * 17) % 256).unwrap() - 128,
                };
                (0..order * SIDE).map(number).collect()
            };
            let (left, right) = (numbers(1), numbers(2));
            assert_eq!(best()(&left, &right, order), plain(&left, &right, order));
        }
        let lowest = vec![-128; 64 * SIDE];
        assert_eq!(best()(&lowest, &lowest, 64), [64 << 14; TILE_SUMS]);
    }
}
