//! Rotary frequencies as fractions of a turn, from integers (int1.md, section 7).

use crate::int1::exponential::root;

/// `2^64 / (2 pi)`, rounded down.
const INVERSE_TAU: u128 = 0x28BE_60DB_9391_054A;

/// How a model stretches its frequencies beyond the context it was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All by the same factor.
    Linear(f64),
    /// Each divided by its own factor.
    Factors(Vec<f32>),
    /// Llama 3: slow ones by `factor`, fast ones not, those between in proportion.
    Llama3 {
        /// Division of the slowest.
        factor: f64,
        /// Below so many turns in the original context a frequency is slow.
        low: f64,
        /// Above so many it is fast.
        high: f64,
        /// The original context.
        context: f64,
    },
}

/// The advance per position of each of `pairs` pairs, `base^(-i/pairs) / (2 pi)` turns, as a fraction with 64
/// fractional bits. `base` is above one.
#[must_use]
pub fn turns(base: f64, pairs: usize, scaling: &Scaling) -> Vec<u64> {
    let log = log2(base);
    (0..pairs)
        .map(|i| {
            let distance = log * (i as u128) / (pairs as u128);
            let turn = (INVERSE_TAU * u128::from(exp2(distance))) >> 62 >> (distance >> 60).min(64);
            stretch(u64::try_from(turn).unwrap_or(u64::MAX), i, scaling)
        })
        .collect()
}

fn stretch(turn: u64, index: usize, scaling: &Scaling) -> u64 {
    let divisor = match scaling {
        Scaling::None => return turn,
        Scaling::Linear(factor) => *factor,
        Scaling::Factors(factors) => factors.get(index).map_or(1.0, |factor| f64::from(*factor)),
        Scaling::Llama3 { factor, low, high, context } => {
            let in_context = number(turn) / 18_446_744_073_709_551_616.0 * context;
            if in_context > *high {
                1.0
            } else if in_context < *low {
                *factor
            } else {
                let share = (in_context - low) / (high - low);
                1.0 / ((1.0 - share) / factor + share)
            }
        }
    };
    if divisor == 1.0 { turn } else { whole(number(turn) / divisor) }
}

fn number(x: u64) -> f64 {
    x as f64
}

/// A number without what follows its point; negative ones are zero, large ones saturate.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
pub(super) fn whole(x: f64) -> u64 {
    x as u64
}

/// `log2 x` of a number of at least one, 60 fractional bits, rounded down.
fn log2(x: f64) -> u128 {
    let exponent = super::quantise::exponent(x).max(0);
    // One to two, 62 fractional bits.
    let mut mantissa = u128::from((x.to_bits() & ((1 << 52) - 1)) | 1 << 52) << 10;
    let mut log = u128::from(exponent.unsigned_abs());
    for _ in 0..60 {
        mantissa = (mantissa * mantissa) >> 62;
        log <<= 1;
        if mantissa >> 63 == 1 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    log
}

/// `2^-f` for the fractional part `f` of a distance with 60 fractional bits; 62 fractional bits.
fn exp2(distance: u128) -> u64 {
    let mut step = 1u64 << 61;
    let mut result = 1u128 << 62;
    for bit in (0..60).rev() {
        step = root(u128::from(step) << 62);
        if distance >> bit & 1 == 1 {
            result = (result * u128::from(step)) >> 62;
        }
    }
    u64::try_from(result).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_right() {
        for base in [10_000.0, 100_000.0, 500_000.0, 1e6] {
            for (i, turn) in turns(base, 32, &Scaling::None).into_iter().enumerate() {
                let exact = f64::powf(base, -(i as f64) / 32.0) / std::f64::consts::TAU;
                let ours = turn as f64 / 2f64.powi(64);
                assert!((ours / exact - 1.0).abs() < 1e-12, "{base} {i} {ours} {exact}");
            }
        }
    }

    #[test]
    fn scaling_follows_its_definition() {
        let plain = turns(500_000.0, 64, &Scaling::None);
        let linear = turns(500_000.0, 64, &Scaling::Linear(4.0));
        assert!(plain.iter().zip(&linear).all(|(a, b)| (a / 4).abs_diff(*b) < 4096));
        let llama = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, context: 8192.0 };
        for (turn, plain) in turns(500_000.0, 64, &llama).into_iter().zip(plain) {
            let wavelength = 2f64.powi(64) / plain as f64;
            let ratio = plain as f64 / turn as f64;
            let expected = if wavelength < 8192.0 / 4.0 {
                1.0
            } else if wavelength > 8192.0 {
                8.0
            } else {
                let smooth = (8192.0 / wavelength - 1.0) / 3.0;
                1.0 / ((1.0 - smooth) / 8.0 + smooth)
            };
            assert!((ratio / expected - 1.0).abs() < 1e-9, "{wavelength} {ratio} {expected}");
        }
    }
}
