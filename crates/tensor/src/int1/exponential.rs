//! Powers of two, logarithms and the logistic function (int1.md, section 5).

use super::arithmetic::{LOG2_E, bits, shift_round};

/// One, in the fixed point of [`exp2`]: 30 fractional bits.
pub const ONE: u32 = 1 << 30;

/// `HIGH[i] = 2^(-i/256)`, 31 fractional bits.
pub static HIGH: [u32; 256] = powers(8);
/// `LOW[i] = 2^(-i/65536)`, 31 fractional bits.
pub static LOW: [u32; 256] = powers(16);

/// `2^(-d/65536)` with 30 fractional bits.
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a product of two numbers up to 2^31, shifted by 32"
)]
pub fn exp2(d: u32) -> u32 {
    let whole = d >> 16;
    let product = u64::from(HIGH[((d >> 8) & 255) as usize]) * u64::from(LOW[(d & 255) as usize]);
    let fraction = ((product + (1 << 31)) >> 32) as u32;
    if whole > 31 { 0 } else { fraction >> whole }
}

/// `log2 x` with 24 fractional bits, rounded down; zero for zero.
#[must_use]
pub fn log2(x: u64) -> i64 {
    if x == 0 {
        return 0;
    }
    let whole = bits(x) - 1;
    // One to two, with 31 fractional bits.
    let mut mantissa = if whole >= 31 { x >> (whole - 31) } else { x << (31 - whole) };
    let mut result = u64::from(whole);
    for _ in 0..24 {
        mantissa = (mantissa * mantissa) >> 31;
        result <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            result |= 1;
        }
    }
    result.cast_signed()
}

/// `1 / (1 + e^-x)` of `x` with 16 fractional bits; the result has 30.
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a quotient of at most 2^30; the distance is cut to 32 bits"
)]
pub fn logistic(x: i32) -> u32 {
    let distance = shift_round(i64::from(x.unsigned_abs()) * LOG2_E, 30);
    let e = u64::from(exp2(distance.cast_unsigned().min(u64::from(u32::MAX)) as u32));
    let one = u64::from(ONE);
    let above = if x >= 0 { one << 30 } else { e << 30 };
    (above / (one + e)) as u32
}

/// `2^(-i / 2^depth)` for `i` in `0..256`, with 31 fractional bits: products of repeated square roots of
/// one half, all in integers of 62 fractional bits rounded down.
const fn powers(depth: u32) -> [u32; 256] {
    let mut roots = [0u64; 17];
    roots[0] = 1 << 61;
    let mut k = 1;
    while k < 17 {
        roots[k] = root((roots[k - 1] as u128) << 62);
        k += 1;
    }
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut product = 1u128 << 62;
        let mut bit = 0;
        while bit < 8 {
            if i >> bit & 1 == 1 {
                product = (product * roots[(depth - bit) as usize] as u128) >> 62;
            }
            bit += 1;
        }
        table[i] = narrow((product + (1 << 30)) >> 31);
        i += 1;
    }
    table
}

#[allow(clippy::cast_possible_truncation, reason = "at most 2^31")]
const fn narrow(x: u128) -> u32 {
    x as u32
}

/// The square root, rounded down, of a number below 2^124.
#[allow(clippy::cast_possible_truncation, reason = "the root of 124 bits has 62")]
pub(crate) const fn root(x: u128) -> u64 {
    let mut result = 0u128;
    let mut bit = 1u128 << 61;
    while bit > 0 {
        let next = result | bit;
        if next * next <= x {
            result = next;
        }
        bit >>= 1;
    }
    result as u64
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
    fn tables_are_correctly_rounded() {
        for i in 0..256 {
            let high = 2f64.powf(-(i as f64) / 256.0) * 2f64.powi(31);
            let low = 2f64.powf(-(i as f64) / 65536.0) * 2f64.powi(31);
            assert!((f64::from(HIGH[i]) - high).abs() <= 0.5 + 1e-6, "high {i}");
            assert!((f64::from(LOW[i]) - low).abs() <= 0.5 + 1e-6, "low {i}");
        }
    }

    #[test]
    fn exp2_is_within_a_unit_and_falls() {
        let mut last = ONE;
        for d in 0..=(40u32 << 16) {
            let value = exp2(d);
            assert!(value <= last, "at {d}");
            last = value;
            let exact = 2f64.powf(-f64::from(d) / 65536.0) * f64::from(ONE);
            assert!((f64::from(value) - exact).abs() <= 1.5, "{d}: {value} {exact}");
        }
        assert_eq!(exp2(0), ONE);
        assert_eq!(exp2(u32::MAX), 0);
    }

    #[test]
    fn log2_is_within_a_unit() {
        for x in (1..2000u64).chain((0..64).map(|s| 1 << s)).chain([u64::MAX, 3 << 60]) {
            let exact = (x as f64).log2() * 2f64.powi(24);
            assert!((log2(x) as f64 - exact).abs() <= 8.0, "{x}: {} {exact}", log2(x));
        }
    }

    #[test]
    fn logistic_is_right() {
        for x in (-20 * 65536..20 * 65536).step_by(997).chain([i32::MAX, -i32::MAX]) {
            let exact = f64::from(ONE) / (1.0 + (-f64::from(x) / 65536.0).exp());
            assert!(
                (f64::from(logistic(x)) - exact).abs() <= 8000.0,
                "{x}: {} {exact}",
                logistic(x)
            );
        }
        assert_eq!(logistic(0), ONE / 2);
    }
}
