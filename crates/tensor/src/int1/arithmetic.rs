//! Shifts, rounding and saturation (int1.md, section 2).

/// The largest magnitude of a saturated 32-bit word. The range is symmetric, so that negation never
/// overflows.
pub const LIMIT: i32 = i32::MAX;

/// `log2 e` with 30 fractional bits.
pub const LOG2_E: i64 = 1_549_082_005;
/// `ln 2` with 31 fractional bits.
pub const LN_2: i64 = 1_488_522_236;

/// `x / 2^shift`, rounded to nearest, halves upward. Shifts of 64 and more give zero.
#[inline]
#[must_use]
pub const fn shift_round(x: i64, shift: u32) -> i64 {
    match shift {
        0 => x,
        1..=63 => (x >> shift) + ((x >> (shift - 1)) & 1),
        _ => 0,
    }
}

/// Saturates to `-LIMIT..=LIMIT`.
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "clamped to the range of i32")]
pub const fn saturate(x: i64) -> i32 {
    if x > LIMIT as i64 {
        LIMIT
    } else if x < -(LIMIT as i64) {
        -LIMIT
    } else {
        x as i32
    }
}

/// `x * 2^-shift`, rounded as [`shift_round`] when `shift` is positive, exact when it is negative,
/// saturated either way.
#[inline]
#[must_use]
pub const fn scale(x: i64, shift: i32) -> i32 {
    if 1 < shift && shift < 64 {
        // The same as below, without its branches: the usual case, and there are many of them.
        return saturate(((x >> (shift - 1)) + 1) >> 1);
    }
    if shift >= 0 {
        return saturate(shift_round(x, shift.unsigned_abs()));
    }
    let left = shift.unsigned_abs();
    let x = saturate(x) as i64;
    if x == 0 {
        0
    } else if left >= 32 {
        if x > 0 { LIMIT } else { -LIMIT }
    } else {
        saturate(x << left)
    }
}

/// The sum, saturated.
#[inline]
#[must_use]
pub const fn add(a: i32, b: i32) -> i32 {
    saturate(a as i64 + b as i64)
}

/// How many bits the magnitude `x` needs: 0 for 0, 1 for 1, 3 for 4.
#[inline]
#[must_use]
pub const fn bits(x: u64) -> u32 {
    64 - x.leading_zeros()
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
    fn constants_are_what_they_say() {
        assert_eq!(LOG2_E, (std::f64::consts::LOG2_E * f64::from(1 << 30)).round() as i64);
        assert_eq!(LN_2, (std::f64::consts::LN_2 * 2f64.powi(31)).round() as i64);
    }

    #[test]
    fn halves_go_upward() {
        assert_eq!([5, 6, -5, -6, -7].map(|x| shift_round(x, 1)), [3, 3, -2, -3, -3]);
        assert_eq!(shift_round(i64::MAX, 63), 1);
        assert_eq!(shift_round(i64::MIN, 63), -1);
        assert_eq!(shift_round(i64::MIN, 64), 0);
        assert_eq!(scale(1, -40), LIMIT);
        assert_eq!(scale(-3, -30), -LIMIT);
        assert_eq!(scale(0, -99), 0);
    }

    proptest! {
        #[test]
        fn scaling_is_exact_rational_rounding(x in any::<i64>(), shift in -70i32..70) {
            let wide = i128::from(x);
            let exact = if shift <= 0 {
                wide.saturating_mul(1i128 << shift.unsigned_abs().min(63))
            } else {
                let unit = 1i128 << shift;
                (2 * wide + unit).div_euclid(2 * unit)
            };
            let clamped = exact.clamp(-i128::from(LIMIT), i128::from(LIMIT));
            prop_assert_eq!(i128::from(scale(x, shift)), clamped);
        }
    }
}
