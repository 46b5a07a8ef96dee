//! Layer normalisation: around the mean, with gains and biases (int1.md, section 6).

use super::arithmetic::{add, bits, scale, shift_round};
use super::norm::{Gains, Unit};

/// Gains, biases, and what the result's fractional bits are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerNorm {
    /// The gains; their `epsilon` is `floor(length^3 * epsilon * 2^(2 f))` for inputs with `f` fractional
    /// bits, below 2^60.
    pub gains: Gains,
    /// The biases, with `fraction` fractional bits.
    pub biases: Vec<i32>,
    /// The result's fractional bits.
    pub fraction: i32,
}

/// Normalises `x` into `into`. Distances from the mean are exact: they are taken times the length, whose scale
/// cancels.
pub fn layer_normalise(x: &[i32], norm: &LayerNorm, into: &mut [i32]) {
    // At most 8192.
    let length = i64::try_from(x.len()).unwrap_or(i64::MAX);
    let sum: i64 = x.iter().map(|x| i64::from(*x)).sum();
    let distance = |x: &i32| i64::from(*x) * length - sum;
    let all = x.iter().fold(0u64, |all, x| all | distance(x).unsigned_abs());
    let shift = bits(all).saturating_sub(24);
    let squares: u64 = x
        .iter()
        .map(|x| {
            let y = shift_round(distance(x), shift);
            (y * y).cast_unsigned()
        })
        .sum();
    let total = squares + (norm.gains.epsilon >> (2 * shift));
    if total == 0 {
        into.copy_from_slice(&norm.biases);
        return;
    }
    let unit = Unit::new(x.len(), total);
    let down = 20 + norm.gains.fraction - norm.fraction;
    let weights = norm.gains.mantissas.iter().zip(&norm.biases);
    for ((slot, x), (gain, bias)) in into.iter_mut().zip(x).zip(weights) {
        let normal = unit.of(shift_round(distance(x), shift));
        *slot = add(scale(normal * i64::from(*gain), down), *bias);
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

    use super::super::norm::LONGEST;
    use super::*;

    fn norm(length: usize, epsilon: f64) -> LayerNorm {
        let cube = (length as f64).powi(3);
        LayerNorm {
            gains: Gains {
                mantissas: (0..length as i32).map(|i| (i * 7919 % (1 << 23)) - (1 << 22)).collect(),
                fraction: 20,
                epsilon: (cube * epsilon * 2f64.powi(32)) as u64,
            },
            biases: (0..length as i32).map(|i| (i * 4801 % (1 << 18)) - (1 << 17)).collect(),
            fraction: 16,
        }
    }

    proptest! {
        #[test]
        fn follows_the_real_function(
            x in prop::collection::vec(any::<i32>(), 2..80),
            drop in 0u32..20,
            offset in -4096i32..4096,
        ) {
            let x: Vec<i32> = x.iter().map(|x| ((x >> drop) / 2).saturating_add(offset << 12)).collect();
            let norm = norm(x.len(), 1e-5);
            let mut into = vec![0; x.len()];
            layer_normalise(&x, &norm, &mut into);
            let real: Vec<f64> = x.iter().map(|x| f64::from(*x) / 65536.0).collect();
            let mean = real.iter().sum::<f64>() / real.len() as f64;
            let variance = real.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / real.len() as f64;
            for (i, ours) in into.iter().enumerate() {
                let exact = (real[i] - mean) / (variance + 1e-5).sqrt()
                    * f64::from(norm.gains.mantissas[i]) / 2f64.powi(20)
                    + f64::from(norm.biases[i]) / 65536.0;
                let ours = f64::from(*ours) / 65536.0;
                prop_assert!((ours - exact).abs() < 1e-4 + exact.abs() * 1e-5, "{} {}", ours, exact);
            }
        }

        #[test]
        fn nothing_overflows_at_the_bounds(
            seed in prop::collection::vec(prop_oneof![Just(i32::MAX), Just(-i32::MAX), any::<i32>().prop_map(|x| x.max(-i32::MAX))], 1..40),
            length in prop_oneof![Just(1usize), Just(LONGEST), 1usize..600],
            fractions in (-64i32..=64, 8i32..=20),
            epsilon in prop_oneof![Just(0u64), Just((1 << 60) - 1), 0u64..1 << 60],
        ) {
            let x: Vec<i32> = (0..length).map(|i| seed[i % seed.len()]).collect();
            let largest = (1 << 23) - 1;
            let norm = LayerNorm {
                gains: Gains {
                    mantissas: (0..length).map(|i| if i % 3 == 0 { -largest } else { largest }).collect(),
                    fraction: fractions.0,
                    epsilon,
                },
                biases: (0..length).map(|i| if i % 2 == 0 { i32::MAX } else { -i32::MAX }).collect(),
                fraction: fractions.1,
            };
            let mut into = vec![0; length];
            layer_normalise(&x, &norm, &mut into);
            prop_assert!(into.iter().all(|x| *x != i32::MIN));
        }
    }

    #[test]
    fn the_mean_goes_and_a_constant_leaves_the_biases() {
        let plain = norm(64, 0.0);
        let mut into = vec![1; 64];
        layer_normalise(&[12_345; 64], &plain, &mut into);
        assert_eq!(into, plain.biases);
        let x: Vec<i32> = (0..64).map(|i| i * i * 1000).collect();
        let moved: Vec<i32> = x.iter().map(|x| x + 1_000_000_007).collect();
        let (mut one, mut other) = (vec![0; 64], vec![0; 64]);
        layer_normalise(&x, &plain, &mut one);
        layer_normalise(&moved, &plain, &mut other);
        assert_eq!(one, other);
    }
}
