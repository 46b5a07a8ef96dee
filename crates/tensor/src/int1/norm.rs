//! Root-mean-square normalisation (int1.md, section 6).

use serde::{Deserialize, Serialize};

use super::arithmetic::{bits, saturate, shift_round};

/// The longest vector that the profile normalises: then no sum of squares leaves 62 bits.
pub const LONGEST: usize = 8192;
/// The largest magnitude of a gain's mantissa is below two to this power.
pub const GAIN_BITS: u32 = 23;

/// `epsilon` is below two to this power.
pub const EPSILON_BITS: u32 = 60;

/// The gains of a normalisation: `mantissas[i] * 2^-fraction`, and the constant under the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gains {
    /// Mantissas, magnitudes below 2^23.
    pub mantissas: Vec<i32>,
    /// Their fractional bits, which are the result's as well.
    pub fraction: i32,
    /// `floor(length * epsilon * 2^(2 f))` for inputs with `f` fractional bits; below 2^60.
    pub epsilon: u64,
}

/// Brings elements of at most 25 bits to the unit of a normalisation, 20 fractional bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    inverse: i64,
    down: u32,
}

impl Unit {
    /// Of a vector of `length` elements with this sum of squares, below `2^62` and not zero.
    pub fn new(length: usize, sum: u64) -> Self {
        // An even shift that brings the sum to 61 or 62 bits.
        let up = (62 - bits(sum)) & !1;
        let root = (sum << up).isqrt();
        // The square root of the length has 24 fractional bits.
        let root_of_length = ((length as u64) << 48).isqrt();
        let inverse = ((root_of_length << 32) / root).cast_signed();
        Self { inverse, down: 36 - up / 2 }
    }

    /// One element; at most `2^27` comes out.
    #[inline]
    pub fn of(self, y: i64) -> i64 {
        shift_round(y * self.inverse, self.down)
    }
}

/// Normalises `x` into `into`, which then has `gains.fraction` fractional bits. The input's own scale
/// cancels, except in epsilon.
pub fn normalise(x: &[i32], gains: &Gains, into: &mut [i32]) {
    let all = x.iter().fold(0u32, |all, x| all | x.unsigned_abs());
    let shift = bits(u64::from(all)).saturating_sub(24);
    let squares: u64 = x
        .iter()
        .map(|x| {
            let x = shift_round(i64::from(*x), shift);
            (x * x).cast_unsigned()
        })
        .sum();
    let sum = squares + (gains.epsilon >> (2 * shift));
    if sum == 0 {
        into.fill(0);
        return;
    }
    let unit = Unit::new(x.len(), sum);
    for ((slot, x), gain) in into.iter_mut().zip(x).zip(&gains.mantissas) {
        let normal = unit.of(shift_round(i64::from(*x), shift));
        *slot = saturate(shift_round(normal * i64::from(*gain), 20));
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

    use super::*;

    fn gains(length: usize, epsilon: f64) -> Gains {
        Gains {
            mantissas: (0..length as i32).map(|i| (i * 7919 % (1 << 23)) - (1 << 22)).collect(),
            fraction: 20,
            epsilon: (length as f64 * epsilon * 2f64.powi(32)) as u64,
        }
    }

    fn exact(x: &[i32], gains: &Gains, epsilon: f64) -> Vec<f64> {
        let real: Vec<f64> = x.iter().map(|x| f64::from(*x) / 65536.0).collect();
        let mean = real.iter().map(|x| x * x).sum::<f64>() / real.len() as f64;
        real.iter()
            .zip(&gains.mantissas)
            .map(|(x, gain)| x / (mean + epsilon).sqrt() * f64::from(*gain) / 2f64.powi(20))
            .collect()
    }

    proptest! {
        #[test]
        fn follows_the_real_function(x in prop::collection::vec(any::<i32>(), 1..80), drop in 0u32..28) {
            let x: Vec<i32> = x.iter().map(|x| (x >> drop).max(-i32::MAX)).collect();
            let gains = gains(x.len(), 1e-5);
            let mut into = vec![0; x.len()];
            normalise(&x, &gains, &mut into);
            for (ours, exact) in into.iter().zip(exact(&x, &gains, 1e-5)) {
                let ours = f64::from(*ours) / 2f64.powi(20);
                prop_assert!((ours - exact).abs() < 1e-4 + exact.abs() * 1e-5, "{} {}", ours, exact);
            }
        }
    }

    #[test]
    fn the_longest_and_largest_vector_stays_in_range() {
        let x = vec![i32::MAX; LONGEST];
        let gains =
            Gains { mantissas: vec![(1 << 23) - 1; LONGEST], fraction: 23, epsilon: (1 << 60) - 1 };
        let mut into = vec![0; LONGEST];
        normalise(&x, &gains, &mut into);
        // Epsilon was chosen huge; the sum is what is checked to fit. Without it every element is one.
        let plain = Gains { epsilon: 0, ..gains };
        normalise(&x, &plain, &mut into);
        assert!(into.iter().all(|x| (x - (1 << 23)).abs() <= 4), "{}", into[0]);
        let mut spike = vec![0; LONGEST];
        spike[5] = -i32::MAX;
        normalise(&spike, &plain, &mut into);
        let expected = -(8192f64.sqrt() * 2f64.powi(23));
        assert!((f64::from(into[5]) - expected).abs() < 1000.0, "{} {expected}", into[5]);
        normalise(&vec![0; LONGEST], &plain, &mut into);
        assert!(into.iter().all(|x| *x == 0));
    }
}
