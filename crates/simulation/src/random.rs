//! Random numbers from one seed, the same on every machine (the splitmix64 generator).

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0; the bias of so small ends does not matter here.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// A number from `low` to `10 x low`, as likely in each of ten bands that grow by a quarter: few are
    /// large, as with real machines and prices.
    pub fn decade(&mut self, low: u64) -> u64 {
        let (mut from, mut to) = (low.saturating_mul(1_000), low.saturating_mul(1_259));
        for _ in 0..self.below(10) {
            // 10^(1/10) is 1.2589.
            (from, to) = (to, to.saturating_mul(1_259) / 1_000);
        }
        (from.saturating_add(self.below(to.saturating_sub(from)))) / 1_000
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            let other = self.below(end as u64 + 1);
            list.swap(end, usize::try_from(other).unwrap_or(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317, "as published for this seed");
        let mut decades: Vec<u64> = (0..1_000).map(|_| random.decade(100)).collect();
        decades.sort_unstable();
        assert!(decades[0] >= 100 && decades[999] <= 1_005 && decades[500] < 400);
    }

    #[test]
    fn shuffling_keeps_everything() {
        let mut list: Vec<u32> = (0..100).collect();
        Random::new(1).shuffle(&mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }
}
