//! The activation functions of feed-forward layers (int1.md, section 8). Inputs have 16 fractional bits.

use serde::{Deserialize, Serialize};

use super::arithmetic::{LOG2_E, saturate, shift_round};
use super::exponential::{ONE, exp2, logistic};

/// `2 sqrt(2/pi)` with 16 fractional bits.
const TWICE_ROOT_TWO_OVER_PI: i64 = 104_580;
/// `0.044715` with 32 fractional bits.
const CUBIC: i64 = 192_049_462;

/// `0.2316419` with 30 fractional bits: Abramowitz and Stegun, 26.2.17.
const TAIL: i64 = 248_723_596;
/// Their coefficients by `1 / sqrt(2 pi)`, 30 fractional bits, the highest power first; the last is a unit above
/// its rounding, so that they sum to a half.
const COEFFICIENTS: [i64; 5] = [569_837_700, -780_155_054, 763_115_692, -152_738_022, 136_810_596];

/// Which function gates the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// `x * logistic(x)`: Llama, Qwen.
    Silu,
    /// The approximation of the Gaussian error unit by `tanh`: Gemma.
    GeluTanh,
    /// The Gaussian error unit itself: encoders of the BERT kind.
    Gelu,
}

impl Gate {
    /// The function's value, 16 fractional bits.
    #[inline]
    #[must_use]
    pub fn apply(self, x: i32) -> i32 {
        match self {
            Self::Silu => silu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Gelu => gelu(x),
        }
    }
}

/// `x * logistic(x)`.
#[inline]
#[must_use]
pub fn silu(x: i32) -> i32 {
    saturate(shift_round(i64::from(x) * i64::from(logistic(x)), 30))
}

/// `x * logistic(2 sqrt(2/pi) (x + 0.044715 x^3))`, which equals the usual form with `tanh`.
///
/// The inner argument is cut at magnitude 16, where the logistic function is zero or one to 23 bits.
#[inline]
#[must_use]
pub fn gelu_tanh(x: i32) -> i32 {
    let near = i64::from(x).clamp(-(16 << 16), 16 << 16);
    let square = shift_round(near * near, 16);
    let cubic = shift_round(square * CUBIC, 32);
    let inner = near + shift_round(near * cubic, 16);
    let argument = saturate(shift_round(inner * TWICE_ROOT_TWO_OVER_PI, 16));
    saturate(shift_round(i64::from(x) * i64::from(logistic(argument)), 30))
}

/// `x * Phi(x)`, `Phi` being the normal distribution function.
#[inline]
#[must_use]
pub fn gelu(x: i32) -> i32 {
    let one = i64::from(ONE);
    let tail = i64::from(normal_tail(x.unsigned_abs()));
    let share = if x < 0 { tail } else { one - tail };
    saturate(shift_round(i64::from(x) * share, 30))
}

/// `1 - Phi(x)` of `x` with 16 fractional bits; the result has 30. From 8 on it is zero.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "d is below 2^22, the result within 0..=2^29"
)]
fn normal_tail(x: u32) -> u32 {
    let near = i64::from(x.min(8 << 16));
    // 1 / (1 + TAIL x), 30 fractional bits.
    let t = (1i64 << 60) / (i64::from(ONE) + ((near * TAIL) >> 16));
    let sum = COEFFICIENTS.into_iter().fold(0, |sum, coefficient| ((sum * t) >> 30) + coefficient);
    // x^2 / 2 log2 e: the square has 24 fractional bits, the distance 16.
    let square = shift_round(near * near, 8);
    let distance = shift_round(square * LOG2_E, 39);
    let factor = i64::from(exp2(distance.cast_unsigned() as u32));
    ((((sum * t) >> 30) * factor) >> 30).max(0) as u32
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    /// `erf` by its Taylor series around zero, with more terms than double precision needs below 6.
    fn normal(x: f64) -> f64 {
        let z = x / 2f64.sqrt();
        let (mut term, mut sum) = (z, z);
        for n in 1..400 {
            // 2^n z^(2n+1) / (1 * 3 * ... * (2n+1)): all of one sign.
            term *= 2.0 * z * z / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        0.5 + (-z * z).exp() * sum / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn gelu_follows_the_real_function() {
        assert!((normal(1.0) - 0.841_344_746_068_543).abs() < 1e-12);
        let mut worst = 0f64;
        for x in -12 * 65536..12 * 65536 {
            let real = f64::from(x) / 65536.0;
            worst = worst.max((f64::from(gelu(x)) / 65536.0 - real * normal(real)).abs());
        }
        assert!(worst < 2.5e-5, "{worst}");
        assert_eq!((gelu(i32::MAX), gelu(-i32::MAX), gelu(0)), (i32::MAX, 0, 0));
        assert_eq!(normal_tail(0), ONE / 2);
        assert_eq!(normal_tail(u32::MAX), normal_tail(8 << 16));
    }

    #[test]
    fn both_follow_the_real_functions() {
        for x in (-30 * 65536..30 * 65536).step_by(1009) {
            let real = f64::from(x) / 65536.0;
            let silu_exact = real / (1.0 + (-real).exp());
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (real + 0.044715 * real.powi(3));
            let gelu_exact = 0.5 * real * (1.0 + inner.tanh());
            assert!((f64::from(silu(x)) / 65536.0 - silu_exact).abs() < 2e-4, "silu {real}");
            assert!((f64::from(gelu_tanh(x)) / 65536.0 - gelu_exact).abs() < 2e-4, "gelu {real}");
        }
        assert_eq!(silu(i32::MAX), i32::MAX);
        assert_eq!(gelu_tanh(-i32::MAX), 0);
    }
}
