//! Logarithm and exponential from the four operations alone, so that no platform's library decides about bits.

use std::f64::consts::{LN_2, SQRT_2};

/// The natural logarithm of a positive, normal number, right to about 1e-15 relative to the larger of it and 1.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff).cast_signed() - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh t, and |t| <= 0.172 makes the 11th term smaller than the last bit.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let (mut sum, mut power) = (0.0, t);
    let mut odd = 1.0;
    for _ in 0..11 {
        sum += power / odd;
        power *= square;
        odd += 2.0;
    }
    #[allow(clippy::cast_precision_loss)]
    let exponent = exponent as f64;
    2.0 * sum + exponent * LN_2
}

/// The exponential of a number between -700 and 700; 0 below, infinity above.
pub fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    if x > 700.0 {
        return f64::INFINITY;
    }
    let halvings = (x / LN_2 + 0.5).floor();
    let rest = x - halvings * LN_2;
    let (mut sum, mut term) = (1.0, 1.0);
    let mut count = 1.0;
    for _ in 0..18 {
        term *= rest / count;
        sum += term;
        count += 1.0;
    }
    #[allow(clippy::cast_possible_truncation)]
    let exponent = halvings as i64 + 1023;
    sum * f64::from_bits(exponent.cast_unsigned() << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the platform's library is the comparison here")]
    fn logarithm_and_exponential_are_right() {
        for step in 1..4000 {
            let x = f64::from(step) * 0.01;
            for value in [x, 1.0 / x, x * 1e-9, x * 1e200] {
                let right = value.ln();
                assert!((ln(value) - right).abs() <= 4e-15 * right.abs().max(1.0), "{value}");
            }
            for value in [x, -x, x * 15.0, -x * 15.0] {
                let right = value.exp();
                assert!((exp(value) - right).abs() <= 3e-13 * right, "{value}");
            }
        }
        assert_eq!((exp(0.0), ln(1.0)), (1.0, 0.0));
    }
}
