//! Softmax attention over block numbers (int1.md, section 9): one division per head, at the end.

use serde::{Deserialize, Serialize};

use super::arithmetic::{bits, scale, shift_round};
use super::exponential::exp2;

/// Positions in a page of the cache.
pub const PAGE: usize = 32;
/// The widest head: 256 products of two [`KEY`](super::block::KEY) mantissas and a score factor fit 63 bits.
pub const WIDEST_HEAD: usize = 256;
/// The longest context: with it no sum of weighted values leaves 55 bits.
pub const LONGEST_CONTEXT: usize = 1 << 20;
/// Bits of a weight, in two digits of 11.
pub const WEIGHT_BITS: u32 = 22;

/// The factor of a score, including `log2 e`: `mantissa * 2^-fraction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// `2^30..2^31`.
    pub mantissa: u32,
    /// Fractional bits.
    pub fraction: i32,
}

impl Factor {
    /// A dot product of a query (`fraction` bits, the key's included) as an exponent of two with 16
    /// fractional bits.
    #[inline]
    #[must_use]
    pub fn exponent(self, dot: i64, fraction: i32) -> i32 {
        scale(dot * i64::from(self.mantissa), fraction + self.fraction - 16)
    }
}

/// What [`weigh`] found besides the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighing {
    /// The sum of the exponentials, 30 fractional bits; at least one.
    total: u64,
    /// `sum(weight * value mantissa) * 2^-fraction / (total / 2^30)` is the result... in the units of
    /// [`finish`], which is the only reader.
    fraction: i32,
}

/// Turns exponents of two into integer weights below `2^22` that already contain the values' own powers
/// of two, so that the weighted sum of value mantissas is one exact integer sum.
///
/// `fractions[i]` are the fractional bits of the values at `i`, within `-2..=29`. There is at least one
/// exponent: every position sees itself.
pub fn weigh(exponents: &[i32], fractions: &[i8], weights: &mut [u32]) -> Weighing {
    let highest = exponents.iter().copied().max().unwrap_or(0);
    let finest = fractions.iter().copied().max().unwrap_or(0);
    let mut total = 0u64;
    let mut largest = 0u64;
    for ((weight, exponent), fraction) in weights.iter_mut().zip(exponents).zip(fractions) {
        let e = exp2(below(highest, *exponent));
        total += u64::from(e);
        largest |= u64::from(e) << (finest - fraction);
        *weight = e;
    }
    // The highest exponent's exponential is one, 31 bits: the shift is at least nine, the total has 31 bits.
    let shift = bits(largest) - WEIGHT_BITS;
    for (weight, fraction) in weights.iter_mut().zip(fractions) {
        *weight = narrow(u64::from(*weight) << (finest - fraction), shift);
    }
    Weighing { total, fraction: i32::from(finest) - shift.cast_signed() }
}

/// `highest - exponent`; never negative and below `2^32`, because exponents are symmetric 32-bit words.
#[inline]
fn below(highest: i32, exponent: i32) -> u32 {
    highest.wrapping_sub(exponent).cast_unsigned()
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "cut to 22 bits")]
fn narrow(x: u64, shift: u32) -> u32 {
    // `shift_round`; the shift is at least nine.
    let x = ((x >> (shift - 1)) + 1) >> 1;
    x.min((1 << WEIGHT_BITS) - 1) as u32
}

/// Divides the weighted sums of value mantissas by the total; the result has 16 fractional bits.
pub fn finish(sums: &[i64], weighing: Weighing, into: &mut [i32]) {
    let excess = bits(weighing.total) - 31;
    let total = weighing.total >> excess;
    let reciprocal = ((1u64 << 62) / total).cast_signed();
    let largest = sums.iter().fold(0u64, |all, x| all | x.unsigned_abs());
    let down = bits(largest).saturating_sub(30);
    let shift = weighing.fraction - down.cast_signed() + excess.cast_signed() + 62 - 16;
    for (slot, sum) in into.iter_mut().zip(sums) {
        *slot = scale(shift_round(*sum, down) * reciprocal, shift);
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use proptest::prelude::*;

    use super::super::block::{VALUE, encode};
    use super::*;

    proptest! {
        #[test]
        fn is_softmax(
            rows in prop::collection::vec((-40.0f64..40.0, prop::array::uniform4(-3.0f64..3.0), 0u32..12), 1..70),
        ) {
            let exponents: Vec<i32> = rows.iter().map(|row| (row.0 * 65536.0) as i32).collect();
            let mut fractions = vec![];
            let mut mantissas = vec![];
            let mut exact = [0.0; 4];
            let total: f64 = rows.iter().map(|row| row.0.exp2()).sum();
            let mut size = 0f64;
            for row in &rows {
                let value = row.1.map(|x| x * f64::from(row.2).exp2());
                let fixed = value.map(|x| (x * 65536.0) as i32);
                let mut block = [0i16; 4];
                fractions.push(encode(&fixed, 16, VALUE, &mut block) as i8);
                mantissas.push(block);
                for (sum, x) in exact.iter_mut().zip(value) {
                    *sum += row.0.exp2() / total * x;
                    size = size.max(row.0.exp2() / total * x.abs());
                }
            }
            let mut weights = vec![0; rows.len()];
            let weighing = weigh(&exponents, &fractions, &mut weights);
            let mut sums = [0i64; 4];
            for (weight, block) in weights.iter().zip(&mantissas) {
                for (sum, mantissa) in sums.iter_mut().zip(block) {
                    *sum += i64::from(*weight) * i64::from(*mantissa);
                }
            }
            let mut into = [0; 4];
            finish(&sums, weighing, &mut into);
            for (ours, exact) in into.iter().zip(exact) {
                let ours = f64::from(*ours) / 65536.0;
                prop_assert!((ours - exact).abs() < 3e-5 + size * 3e-3, "{} {}", ours, exact);
            }
        }

        #[test]
        fn nothing_overflows_at_the_bounds(exponents in prop::collection::vec(prop_oneof![Just(i32::MAX), Just(-i32::MAX), any::<i32>().prop_map(|x| x.max(-i32::MAX))], 1..40), edge in any::<bool>()) {
            let fractions: Vec<i8> = (0..exponents.len()).map(|i| if (i % 2 == 0) == edge { 29 } else { -2 }).collect();
            let mut weights = vec![0; exponents.len()];
            let weighing = weigh(&exponents, &fractions, &mut weights);
            prop_assert!(weights.iter().all(|w| *w < 1 << WEIGHT_BITS));
            let sums = [(1i64 << 55) - 1, -(1i64 << 55), 0, 1];
            let mut into = [0; 4];
            finish(&sums, weighing, &mut into);
            prop_assert_eq!(into[2], 0);
        }
    }

    #[test]
    fn the_largest_score_fits() {
        let dot = 4095i64 * 4095 * 256;
        let factor = Factor { mantissa: (1 << 31) - 1, fraction: 31 };
        assert_eq!(factor.exponent(dot, 0), i32::MAX);
        assert_eq!(factor.exponent(-dot, 40), -256);
        assert_eq!(factor.exponent(dot, 40), 256);
    }
}
