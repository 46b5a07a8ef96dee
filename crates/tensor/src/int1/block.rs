//! Block numbers: short mantissas that share one power of two (int1.md, section 3).

use super::arithmetic::{bits, shift_round};

/// Activations before a matrix product: 15 bits and sign, cut to what two balanced digits of base 256
/// can hold (`127 * 256 + 127`).
pub const ACTIVATION: Form = Form { bits: 15, limit: 32_639 };
/// Queries and keys: 128 products of two of them fit 32 bits.
pub const KEY: Form = Form { bits: 12, limit: 4_095 };
/// Values: 128 products with an 11-bit digit fit 32 bits.
pub const VALUE: Form = Form { bits: 13, limit: 8_191 };

/// How wide the mantissas of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The largest magnitude of a block is brought to this many bits.
    pub bits: u32,
    /// Mantissas are cut to `-limit..=limit`.
    pub limit: i16,
}

/// Something with an absolute value in 64 bits.
pub trait Word: Copy {
    /// The magnitude.
    fn magnitude(self) -> u64;
    /// The same number in 64 bits.
    fn wide(self) -> i64;
}

impl Word for i32 {
    #[inline]
    fn magnitude(self) -> u64 {
        u64::from(self.unsigned_abs())
    }
    #[inline]
    fn wide(self) -> i64 {
        i64::from(self)
    }
}

impl Word for i64 {
    #[inline]
    fn magnitude(self) -> u64 {
        self.unsigned_abs()
    }
    #[inline]
    fn wide(self) -> i64 {
        self
    }
}

/// Writes `from` (with `fraction` fractional bits) as mantissas of `form` and returns the mantissas'
/// fractional bits: `from[i] ~ into[i] * 2^-result`.
///
/// The shift is the one that brings the largest magnitude to exactly `form.bits` bits; a block of zeros
/// is not shifted. Elements of `into` beyond `from` become zero.
pub fn encode<W: Word>(from: &[W], fraction: i32, form: Form, into: &mut [i16]) -> i32 {
    // The bits of the bitwise or are the bits of the maximum.
    let all = from.iter().fold(0u64, |all, x| all | x.magnitude());
    let limit = i64::from(form.limit);
    let shift = if all == 0 { 0 } else { bits(all).cast_signed() - form.bits.cast_signed() };
    let (used, rest) = into.split_at_mut(from.len());
    if shift >= 0 {
        let right = shift.unsigned_abs();
        for (slot, x) in used.iter_mut().zip(from) {
            *slot = cut(shift_round(x.wide(), right), limit);
        }
    } else {
        let left = shift.unsigned_abs();
        for (slot, x) in used.iter_mut().zip(from) {
            *slot = cut(x.wide() << left, limit);
        }
    }
    rest.fill(0);
    fraction - shift
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "clamped to the range of i16")]
fn cut(x: i64, limit: i64) -> i16 {
    x.clamp(-limit, limit) as i16
}

/// The balanced digits of an activation: `high * 256 + low`, both within `-128..=127`. Hardware with
/// 8-bit products multiplies each by the weights and adds `256 * high + low`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the low byte, and a quotient that ACTIVATION bounds"
)]
pub fn digits(x: i16) -> (i8, i8) {
    let low = x as i8;
    (((i32::from(x) - i32::from(low)) >> 8) as i8, low)
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_activation_has_balanced_digits() {
        for x in -ACTIVATION.limit..=ACTIVATION.limit {
            let (high, low) = digits(x);
            assert_eq!(i32::from(high) * 256 + i32::from(low), i32::from(x));
        }
    }

    #[test]
    fn zeros_stay_and_padding_is_zero() {
        let mut into = [7i16; 4];
        assert_eq!(encode(&[0i32, 0], 16, ACTIVATION, &mut into), 16);
        assert_eq!(into, [0; 4]);
    }

    proptest! {
        #[test]
        fn blocks_keep_fifteen_bits(from in prop::collection::vec(any::<i64>().prop_map(|x| x >> 2), 1..40), drop in 0u32..60) {
            let from: Vec<i64> = from.iter().map(|x| x >> drop).collect();
            let mut into = vec![0i16; from.len()];
            let fraction = encode(&from, 0, ACTIVATION, &mut into);
            for (x, m) in from.iter().zip(&into) {
                let back = f64::from(*m) * 2f64.powi(-fraction);
                let unit = 2f64.powi(-fraction);
                // Half a unit of rounding, or the cut from 32,768 to 32,639.
                let allowed = unit * if m.abs() == 32_639 { 130.0 } else { 0.5 + 1e-9 };
                prop_assert!((back - *x as f64).abs() <= allowed, "{} {}", back, x);
            }
            prop_assert!(into.iter().all(|m| m.abs() <= ACTIVATION.limit));
        }
    }
}
