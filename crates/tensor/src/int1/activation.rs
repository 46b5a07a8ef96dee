//! The activation functions of feed-forward layers (int1.md, section 8). Inputs have 16 fractional bits.

use serde::{Deserialize, Serialize};

use super::arithmetic::{saturate, shift_round};
use super::exponential::logistic;

/// `2 sqrt(2/pi)` with 16 fractional bits.
const TWICE_ROOT_TWO_OVER_PI: i64 = 104_580;
/// `0.044715` with 32 fractional bits.
const CUBIC: i64 = 192_049_462;

/// Which function gates the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// `x * logistic(x)`: Llama, Qwen.
    Silu,
    /// The approximation of the Gaussian error unit by `tanh`: Gemma.
    GeluTanh,
}

impl Gate {
    /// The function's value, 16 fractional bits.
    #[inline]
    #[must_use]
    pub fn apply(self, x: i32) -> i32 {
        match self {
            Self::Silu => silu(x),
            Self::GeluTanh => gelu_tanh(x),
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

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

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
