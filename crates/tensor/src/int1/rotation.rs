//! Rotary positions (int1.md, section 7): angles are fractions of a turn, never radians.

use super::arithmetic::{saturate, shift_round};

/// `pi / 2` with 32 fractional bits.
const QUARTER: u64 = 6_746_518_852;
/// One with 32 fractional bits.
const ONE: u64 = 1 << 32;

/// Cosine and sine of `turn / 2^32` turns, 30 fractional bits each.
#[must_use]
pub fn cos_sin(turn: u32) -> (i32, i32) {
    let quadrant = turn >> 30;
    let within = turn & ((1 << 30) - 1);
    // Above an eighth of a turn, the complement with sine and cosine exchanged.
    let swap = within > 1 << 29;
    let angle = if swap { (1 << 30) - within } else { within };
    let x = (u64::from(angle) * QUARTER) >> 30;
    let square = (x * x) >> 32;
    let sin = (x * series(square, [6, 20, 42, 72, 110])) >> 32;
    let cos = series(square, [2, 12, 30, 56, 90]);
    let (sin, cos) = (narrow(sin), narrow(cos));
    let (sin, cos) = if swap { (cos, sin) } else { (sin, cos) };
    match quadrant {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// `1 - z/d0 (1 - z/d1 (1 - ...))`, 32 fractional bits.
fn series(z: u64, divisors: [u64; 5]) -> u64 {
    divisors.iter().rev().fold(ONE, |inner, divisor| ONE - ((z * inner) >> 32) / divisor)
}

#[allow(clippy::cast_possible_truncation, reason = "at most 2^32, shifted by two")]
fn narrow(x: u64) -> i32 {
    ((x + 2) >> 2) as i32
}

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// `2i` with `2i + 1`.
    Neighbours,
    /// `i` with `i + n/2` of the `n` that turn.
    Halves,
}

/// Cosines and sines of one position, for each pair. `turns[i]` is pair `i`'s advance per position as a
/// fraction of a turn with 64 fractional bits.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "the upper half of a word")]
pub fn angles(turns: &[u64], position: u32) -> Vec<(i32, i32)> {
    turns
        .iter()
        .map(|turn| cos_sin((turn.wrapping_mul(u64::from(position)) >> 32) as u32))
        .collect()
}

/// Turns the first `2 * angles.len()` elements of a head.
pub fn rotate(head: &mut [i32], angles: &[(i32, i32)], pairing: Pairing) {
    let half = angles.len();
    for (i, (cos, sin)) in angles.iter().enumerate() {
        let (a, b) = match pairing {
            Pairing::Neighbours => (2 * i, 2 * i + 1),
            Pairing::Halves => (i, i + half),
        };
        let (x, y) = (i64::from(head[a]), i64::from(head[b]));
        let (cos, sin) = (i64::from(*cos), i64::from(*sin));
        head[a] = saturate(shift_round(x * cos - y * sin, 30));
        head[b] = saturate(shift_round(x * sin + y * cos, 30));
    }
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
    fn follows_the_real_functions() {
        for turn in (0..=u32::MAX).step_by(99_991).chain([
            0,
            1 << 29,
            (1 << 29) + 1,
            1 << 30,
            1 << 31,
            3 << 30,
            u32::MAX,
        ]) {
            let angle = f64::from(turn) / 2f64.powi(32) * std::f64::consts::TAU;
            let (cos, sin) = cos_sin(turn);
            assert!((f64::from(cos) / 2f64.powi(30) - angle.cos()).abs() < 4e-9, "{turn}");
            assert!((f64::from(sin) / 2f64.powi(30) - angle.sin()).abs() < 4e-9, "{turn}");
        }
    }

    #[test]
    fn extreme_heads_saturate_and_lengths_stay() {
        let mut head = [i32::MAX, i32::MAX, 65_536, 0];
        rotate(&mut head, &angles(&[1 << 61, 1 << 61], 1), Pairing::Neighbours);
        assert_eq!(head[..2], [0, i32::MAX]);
        assert_eq!(head[2], head[3]);
        let mut head = [65_536, 0, 0, 65_536];
        rotate(&mut head, &angles(&[1 << 62, 0], 1), Pairing::Halves);
        assert_eq!(head, [0, 0, 65_536, 65_536]);
    }
}
