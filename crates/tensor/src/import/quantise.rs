//! From numbers to `int1` weights.

use crate::int1::attention::Factor;
use crate::int1::norm::GAIN_BITS;
use crate::kernels::{GROUP, GROUP_BYTES, TILE};
use crate::matrix::Matrix;
use crate::{Error, Result};

/// Bits of a group's scale in published blobs: the two bytes that Q8_0 spends as well. What they cost is in
/// docs/measurements; fewer bits have not been measured.
pub const SCALE_BITS: u32 = 16;

/// Turns rows of numbers into matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiser {
    /// Scales are below two to this power; 4 to 16. Fewer bits are for measuring what they would cost.
    pub scale_bits: u32,
}

impl Default for Quantiser {
    fn default() -> Self {
        Self { scale_bits: SCALE_BITS }
    }
}

impl Quantiser {
    /// The section of a matrix: `row(i, into)` writes the numbers of row `i`.
    ///
    /// # Errors
    /// When the shape is out of bounds or a number is not finite.
    pub fn matrix(
        self,
        rows: usize,
        columns: usize,
        mut row: impl FnMut(usize, &mut [f32]),
    ) -> Result<Vec<u8>> {
        if !(4..=16).contains(&self.scale_bits) {
            return Err(Error::new(
                "the weights cannot be quantised",
                format!("scales of {} bits", self.scale_bits),
                "Use 4 to 16 bits",
            ));
        }
        let mut bytes = vec![0u8; Matrix::bytes(rows, columns)?];
        let (fractions, tiles) = bytes.split_at_mut(Matrix::head(rows));
        let mut numbers = vec![0f32; columns];
        let tile_bytes = columns.div_ceil(GROUP) * GROUP_BYTES;
        for (index, fraction) in fractions.iter_mut().enumerate().take(rows) {
            row(index, &mut numbers);
            let tile = &mut tiles[index / TILE * tile_bytes..][..tile_bytes];
            *fraction = self.row(&numbers, index % TILE, tile)?.cast_unsigned();
        }
        Ok(bytes)
    }

    /// Writes one row into its lane of a tile; returns its fractional bits.
    fn row(self, numbers: &[f32], lane: usize, tile: &mut [u8]) -> Result<i8> {
        let largest = |numbers: &[f32]| {
            numbers.iter().fold(0f32, |most, x| if x.abs() > most { x.abs() } else { most })
        };
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(Error::damaged("a weight is not a finite number"));
        }
        let unit = f64::from(largest(numbers)) / 127.0;
        // The power of two that brings the row's largest scale to exactly `scale_bits` bits.
        let fraction =
            if unit == 0.0 { 0 } else { self.scale_bits.cast_signed() - 1 - exponent(unit) };
        let fraction = fraction.clamp(-100, 100);
        let up = power(fraction);
        let most = f64::from((1u32 << self.scale_bits) - 1);
        for (numbers, group) in numbers.chunks(GROUP).zip(tile.as_chunks_mut::<GROUP_BYTES>().0) {
            let scale = (f64::from(largest(numbers)) / 127.0 * up).round().clamp(0.0, most);
            group[2 * lane..2 * lane + 2].copy_from_slice(&whole(scale).to_le_bytes());
            for (column, x) in numbers.iter().enumerate() {
                let at = 2 * TILE + column / 2 * 2 * TILE + 2 * lane + column % 2;
                let weight = if scale == 0.0 {
                    0.0
                } else {
                    (f64::from(*x) * up / scale).round().clamp(-127.0, 127.0)
                };
                group[at] = byte(weight);
            }
        }
        i8::try_from(fraction).map_err(|_| Error::damaged("weights of absurd size"))
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=65535")]
fn whole(x: f64) -> u16 {
    x as u16
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to -127..=127")]
fn byte(x: f64) -> u8 {
    (x as i8).cast_unsigned()
}

/// The exponent of a positive normal number: `2^e <= x < 2^(e+1)`.
#[allow(clippy::cast_possible_truncation, reason = "eleven bits")]
pub(super) fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52 & 2047) as i32) - 1023
}

/// `2^e` for an exponent within the normal range.
pub(super) fn power(e: i32) -> f64 {
    f64::from_bits(u64::from((e + 1023).clamp(1, 2046).unsigned_abs()) << 52)
}

/// Gains of a normalisation: mantissas below 2^23 and their fractional bits.
///
/// # Errors
/// When a number is not finite.
#[allow(clippy::cast_possible_truncation, reason = "magnitudes below 2^23 after scaling")]
pub(super) fn gains(numbers: &[f32]) -> Result<(Vec<i32>, i32)> {
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(Error::damaged("a gain is not a finite number"));
    }
    let largest = numbers.iter().fold(0f64, |most, x| most.max(f64::from(x.abs())));
    if largest == 0.0 {
        return Ok((vec![0; numbers.len()], 0));
    }
    let fraction = (GAIN_BITS.cast_signed() - 1 - exponent(largest)).clamp(-64, 64);
    let limit = f64::from((1 << GAIN_BITS) - 1);
    let mantissa = |x: &f32| (f64::from(*x) * power(fraction)).round().clamp(-limit, limit) as i32;
    Ok((numbers.iter().map(mantissa).collect(), fraction))
}

/// Numbers with 16 fractional bits, saturated.
///
/// # Errors
/// When a number is not finite.
#[allow(clippy::cast_possible_truncation, reason = "clamped to the range of i32")]
pub(super) fn fixed(numbers: &[f32]) -> Result<Vec<i32>> {
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(Error::damaged("a bias is not a finite number"));
    }
    let limit = f64::from(i32::MAX);
    Ok(numbers
        .iter()
        .map(|x| (f64::from(*x) * 65_536.0).round().clamp(-limit, limit) as i32)
        .collect())
}

/// A positive factor.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 2^30..2^31 after scaling"
)]
pub(super) fn factor(x: f64) -> Factor {
    let fraction = 30 - exponent(x);
    let mantissa = (x * power(fraction)) as u32;
    Factor { mantissa, fraction }
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::matrix::Store;

    proptest! {
        #[test]
        fn rows_come_back_within_half_a_step(
            numbers in prop::collection::vec(-1.0f32..1.0, 1..100),
            size in -20i32..20,
            rows in 1usize..40,
        ) {
            let numbers: Vec<f32> = numbers.iter().map(|x| x * 2f32.powi(size)).collect();
            let shifted = |row: usize| numbers.iter().enumerate().map(move |(i, x)| if i % 7 == row % 7 { -x } else { *x });
            let bytes = Quantiser::default()
                .matrix(rows, numbers.len(), |row, into| into.iter_mut().zip(shifted(row)).for_each(|(slot, x)| *slot = x))
                .unwrap();
            let store: Store = Arc::new(bytes);
            let matrix = Matrix::open(&store, 0, rows, numbers.len()).unwrap();
            let mut back = vec![0; numbers.len()];
            let fraction = 25 - size;
            for row in 0..rows {
                matrix.row(row, fraction, &mut back);
                let exact: Vec<f32> = shifted(row).collect();
                for (group, exact) in back.chunks(32).zip(exact.chunks(32)) {
                    let largest = exact.iter().fold(0f32, |most, x| most.max(x.abs()));
                    for (x, exact) in group.iter().zip(exact) {
                        let x = f64::from(*x) * 2f64.powi(-fraction);
                        let step = f64::from(largest) / 127.0 + 2f64.powi(size - 20);
                        prop_assert!((x - f64::from(*exact)).abs() <= 0.51 * step, "{} {} {}", x, exact, step);
                    }
                }
            }
        }
    }

    #[test]
    fn infinite_weights_are_refused() {
        assert!(Quantiser::default().matrix(1, 1, |_, into| into[0] = f32::NAN).is_err());
        assert!(gains(&[f32::INFINITY]).is_err());
    }

    #[test]
    fn factors_are_normal() {
        assert_eq!(factor(1.0), Factor { mantissa: 1 << 30, fraction: 30 });
        let eighth = factor(std::f64::consts::LOG2_E / 8.0);
        assert_eq!((eighth.mantissa, eighth.fraction), (1_549_082_004, 33));
    }
}
