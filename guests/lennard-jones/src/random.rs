//! Random numbers that depend on a task's parameters alone.

use crate::arithmetic::ln;

/// A xoshiro256++ generator (Blackman and Vigna, 2019), seeded by SplitMix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
    spare: Option<f64>,
}

impl Random {
    /// A stream for these words.
    pub fn new(words: &[u64]) -> Self {
        let mut seed = 0_u64;
        let mut next = |word: u64| {
            seed = (seed ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = seed;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        for word in words {
            next(*word);
        }
        Self { state: [next(1), next(2), next(3), next(4)], spare: None }
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Between -1 and 1, neither of them.
    fn symmetric(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let unit = ((self.next() >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0);
        2.0 * unit - 1.0
    }

    /// A number of the normal distribution with mean 0 and variance 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (self.symmetric(), self.symmetric());
            let square = x * x + y * y;
            if square < 1.0 && square > f64::MIN_POSITIVE {
                let scale = (-2.0 * ln(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_right_moments() {
        let mut random = Random::new(&[7]);
        let count = 400_000;
        let mut moments = [0.0; 4];
        for _ in 0..count {
            let x = random.normal();
            let mut power = 1.0;
            for moment in &mut moments {
                power *= x;
                *moment += power / f64::from(count);
            }
        }
        // Five standard errors of each moment: sqrt(1, 2, 15, 96) / sqrt(count).
        let error = 5.0 / f64::from(count).sqrt();
        let right = [(0.0, 1.0), (1.0, 1.42), (0.0, 3.88), (3.0, 9.8)];
        for (moment, (mean, spread)) in moments.iter().zip(right) {
            assert!((moment - mean).abs() < error * spread, "{moments:?}");
        }
        assert_ne!(Random::new(&[1, 2]).normal(), Random::new(&[2, 1]).normal());
    }
}
