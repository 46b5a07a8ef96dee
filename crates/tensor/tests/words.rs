//! A matrix product and its rounding with 32-bit words alone, as a GPU without 64-bit integers and with
//! 8-bit products computes them: the bits of the reference.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the halves of words")]

use proptest::prelude::*;
use tilth_tensor::int1::arithmetic::{LIMIT, scale};
use tilth_tensor::int1::block::digits;
use tilth_tensor::kernels::{GROUP_BYTES, PAIRS, TILE, scalar};

/// A 64-bit number in two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Long {
    high: u32,
    low: u32,
}

impl Long {
    const ZERO: Self = Self { high: 0, low: 0 };

    fn add(self, other: Self) -> Self {
        let low = self.low.wrapping_add(other.low);
        let carry = u32::from(low < self.low);
        Self { high: self.high.wrapping_add(other.high).wrapping_add(carry), low }
    }

    fn negate(self) -> Self {
        Self { high: !self.high, low: !self.low }.add(Self { high: 0, low: 1 })
    }

    /// A word times a scale of 16 bits, by halves of the word.
    fn product(word: i32, scale: u32) -> Self {
        let size = word.unsigned_abs();
        let (lower, upper) = ((size & 0xffff) * scale, (size >> 16) * scale);
        let sum = Self { high: 0, low: lower }.add(Self { high: upper >> 16, low: upper << 16 });
        if word < 0 { sum.negate() } else { sum }
    }

    /// Arithmetic shift to the right.
    fn shift(self, by: u32) -> Self {
        let sign = (self.high.cast_signed() >> 31).cast_unsigned();
        match by {
            0 => self,
            1..=31 => Self {
                high: (self.high.cast_signed() >> by).cast_unsigned(),
                low: self.low >> by | self.high << (32 - by),
            },
            32 => Self { high: sign, low: self.high },
            33..=63 => {
                Self { high: sign, low: (self.high.cast_signed() >> (by - 32)).cast_unsigned() }
            }
            _ => Self { high: sign, low: sign },
        }
    }

    fn saturate(self) -> i32 {
        let low = self.low.cast_signed();
        let fits = self.high == (low >> 31).cast_unsigned() && low != i32::MIN;
        match (fits, self.high.cast_signed() < 0) {
            (true, _) => low,
            (false, true) => -LIMIT,
            (false, false) => LIMIT,
        }
    }

    /// The specification's `scale`.
    fn scale(self, shift: i32) -> i32 {
        let by = shift.unsigned_abs();
        if shift > 63 {
            0
        } else if shift > 0 {
            let bit = Self { high: 0, low: self.shift(by - 1).low & 1 };
            self.shift(by).add(bit).saturate()
        } else {
            let word = self.saturate();
            let room = word.unsigned_abs().leading_zeros();
            match word {
                0 => 0,
                _ if by < room => word << by,
                _ if word < 0 => -LIMIT,
                _ => LIMIT,
            }
        }
    }

    fn wide(self) -> i64 {
        (u64::from(self.high) << 32 | u64::from(self.low)).cast_signed()
    }
}

/// One row: two passes of 8-bit products per group, one for each digit.
fn row(tile: &[u8], vector: &[u32], lane: usize) -> Long {
    let mut sum = Long::ZERO;
    for (group, pairs) in tile.chunks(GROUP_BYTES).zip(vector.chunks(PAIRS)) {
        let (mut high, mut low) = (0i32, 0i32);
        for (j, pair) in pairs.iter().enumerate() {
            let at = 2 * TILE + 2 * TILE * j + 2 * lane;
            for (weight, activation) in
                [(group[at], *pair as i16), (group[at + 1], (pair >> 16) as i16)]
            {
                let (h, l) = digits(activation);
                high += i32::from(weight.cast_signed()) * i32::from(h);
                low += i32::from(weight.cast_signed()) * i32::from(l);
            }
        }
        let scale = u32::from(group[2 * lane]) | u32::from(group[2 * lane + 1]) << 8;
        sum = sum.add(Long::product(256 * high + low, scale));
    }
    sum
}

proptest! {
    #[test]
    fn products_need_words_alone(
        seed in prop::collection::vec(any::<u8>(), 53),
        activations in prop::collection::vec(-32_639i16..=32_639, 2 * PAIRS * 3),
        shift in -40i32..70,
    ) {
        let tile: Vec<u8> = (0..3 * GROUP_BYTES).map(|i| seed[i * 29 % 53].wrapping_add((i / 53) as u8)).collect();
        let vector: Vec<u32> = activations
            .chunks(2)
            .map(|two| u32::from(two[0].cast_unsigned()) | u32::from(two[1].cast_unsigned()) << 16)
            .collect();
        let reference = (scalar::KERNELS.dot)(&tile, &vector);
        for (lane, expected) in reference.iter().enumerate() {
            let ours = row(&tile, &vector, lane);
            prop_assert_eq!(ours.wide(), *expected);
            prop_assert_eq!(ours.scale(shift), scale(*expected, shift));
        }
    }

    #[test]
    fn rounding_needs_words_alone(x in any::<i64>(), down in 0u32..64, shift in -70i32..70) {
        let x = x >> down;
        let long = Long { high: (x >> 32) as u32, low: x as u32 };
        prop_assert_eq!(long.scale(shift), scale(x, shift));
    }
}
