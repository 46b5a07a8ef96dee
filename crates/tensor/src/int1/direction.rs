//! A vector of length one in the direction of sums (int1.md, section 12).

use super::arithmetic::{bits, saturate, shift_round};

/// Fractional bits of the result.
pub const FRACTION: i32 = 30;

/// Writes the direction of `sums`, 30 fractional bits; zeros have none and stay. At most 8192 elements, each below
/// `2^63` in magnitude.
pub fn direction(sums: &[i64], into: &mut [i32]) {
    let all = sums.iter().fold(0u64, |all, x| all | x.unsigned_abs());
    let shift = bits(all).saturating_sub(24);
    let squares: u64 = sums
        .iter()
        .map(|x| {
            let y = shift_round(*x, shift);
            (y * y).cast_unsigned()
        })
        .sum();
    if squares == 0 {
        into.fill(0);
        return;
    }
    let up = (62 - bits(squares)) & !1;
    let root = (squares << up).isqrt();
    let inverse = ((1u64 << 62) / root).cast_signed();
    let down = 32 - up / 2;
    for (slot, x) in into.iter_mut().zip(sums) {
        *slot = saturate(shift_round(shift_round(*x, shift) * inverse, down));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::norm::LONGEST;
    use super::*;

    proptest! {
        #[test]
        fn follows_the_real_function(sums in prop::collection::vec(any::<i64>(), 1..60), drop in 8u32..62) {
            let sums: Vec<i64> = sums.iter().map(|x| x >> drop).collect();
            let length = sums.iter().map(|x| (*x as f64).powi(2)).sum::<f64>().sqrt();
            let mut into = vec![7; sums.len()];
            direction(&sums, &mut into);
            for (ours, x) in into.iter().zip(&sums) {
                let exact = if length == 0.0 { 0.0 } else { *x as f64 / length };
                prop_assert!((f64::from(*ours) / 2f64.powi(30) - exact).abs() < 2e-7, "{} {}", ours, exact);
            }
        }
    }

    #[test]
    fn the_longest_and_largest_fit() {
        let mut into = vec![0; LONGEST];
        direction(&vec![i64::MAX; LONGEST], &mut into);
        let expected = 2f64.powi(30) / 8192f64.sqrt();
        assert!(into.iter().all(|x| (f64::from(*x) - expected).abs() < 16.0), "{}", into[0]);
        let mut into = [0; 3];
        direction(&[0, -1, 0], &mut into);
        assert_eq!(into, [0, -(1 << 30), 0]);
        direction(&[0; 3], &mut into);
        assert_eq!(into, [0; 3]);
    }
}
