//! Choosing tokens from logits, and log-probabilities, from integers alone (int1.md, section 11).

use super::arithmetic::{LN_2, LOG2_E, shift_round};
use super::exponential::{exp2, log2};
use super::random::draw;

/// How the next token is chosen. All numbers are fixed point with 16 fractional bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Zero chooses the most likely token.
    pub temperature: u32,
    /// Only the so many most likely tokens; zero for all.
    pub top_k: u32,
    /// Only the most likely tokens that together reach this probability; one (65,536) and more for all.
    pub top_p: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// Which of several answers to one prompt.
    pub stream: u32,
}

impl Sampling {
    /// The most likely token, always.
    pub const GREEDY: Self = Self { temperature: 0, top_k: 0, top_p: 1 << 16, seed: 0, stream: 0 };

    /// The token for `position` (the index the new token will have in its sequence).
    ///
    /// `logits` have 16 fractional bits and must not be empty.
    #[must_use]
    pub fn choose(&self, logits: &[i32], position: u32) -> u32 {
        let best = argmax(logits);
        if self.temperature == 0 {
            return index(best);
        }
        let highest = logits[best];
        let weights: Vec<u32> =
            logits.iter().map(|logit| exp2(self.distance(highest, *logit))).collect();
        let last = self.last_kept(logits, &weights);
        let kept = |i: usize| weights[i] > 0 && last.is_none_or(|last| !before(logits, last, i));
        let total: u64 =
            (0..weights.len()).filter(|i| kept(*i)).map(|i| u64::from(weights[i])).sum();
        let mut left = high(draw(self.seed, self.stream, position), total);
        for i in (0..weights.len()).filter(|i| kept(*i)) {
            let weight = u64::from(weights[i]);
            if left < weight {
                return index(i);
            }
            left -= weight;
        }
        index(best)
    }

    /// How far a logit lies below the highest one, as an exponent of two at this temperature.
    #[allow(clippy::cast_possible_truncation, reason = "cut to 32 bits")]
    fn distance(&self, highest: i32, logit: i32) -> u32 {
        let binary = binary_distance(highest, logit);
        ((binary << 16) / u64::from(self.temperature)).min(u64::from(u32::MAX)) as u32
    }

    /// The least likely token that is kept, if top-k or top-p cut at all.
    fn last_kept(&self, logits: &[i32], weights: &[u32]) -> Option<usize> {
        if self.top_k == 0 && self.top_p >= 1 << 16 {
            return None;
        }
        let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
        order.sort_unstable_by(|a, b| logits[*b].cmp(&logits[*a]).then(a.cmp(b)));
        if self.top_k > 0 {
            order.truncate(self.top_k as usize);
        }
        let total: u64 = order.iter().map(|i| u64::from(weights[*i])).sum();
        // The smallest integer at least the share; the product may reach 2^64.
        let share = (u128::from(total) * u128::from(self.top_p.min(1 << 16))).div_ceil(1 << 16);
        let mut sum = 0u64;
        for i in &order {
            sum += u64::from(weights[*i]);
            if u128::from(sum) >= share {
                return Some(*i);
            }
        }
        order.last().copied()
    }
}

/// The index of the highest logit; among equals the first. Zero for an empty slice.
#[must_use]
pub fn argmax(logits: &[i32]) -> usize {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    best
}

/// Natural log-probabilities at temperature one, 16 fractional bits, never above zero.
#[derive(Clone, Copy, Debug)]
pub struct LogProbabilities<'a> {
    logits: &'a [i32],
    highest: i32,
    log_total: i64,
}

impl<'a> LogProbabilities<'a> {
    /// Of logits with 16 fractional bits, not empty.
    #[must_use]
    pub fn new(logits: &'a [i32]) -> Self {
        let highest = logits.iter().copied().max().unwrap_or(0);
        let total: u64 =
            logits.iter().map(|logit| u64::from(exp2(cut(binary_distance(highest, *logit))))).sum();
        let log_total = shift_round((log2(total) - (30 << 24)) * LN_2, 39);
        Self { logits, highest, log_total }
    }

    /// Of one token.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "cut to the range of i32")]
    pub fn of(&self, token: u32) -> i32 {
        let logit = self.logits.get(token as usize).copied().unwrap_or(-i32::MAX);
        let value = i64::from(logit) - i64::from(self.highest) - self.log_total;
        value.clamp(-i64::from(i32::MAX), 0) as i32
    }

    /// The `count` most likely tokens with their log-probabilities, most likely first, ties by index.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<(u32, i32)> {
        let mut order: Vec<usize> = (0..self.logits.len()).collect();
        let by = |a: &usize, b: &usize| self.logits[*b].cmp(&self.logits[*a]).then(a.cmp(b));
        let count = count.min(order.len());
        if count > 0 && count < order.len() {
            order.select_nth_unstable_by(count - 1, by);
        }
        order.truncate(count);
        order.sort_unstable_by(by);
        order.into_iter().map(|i| (index(i), self.of(index(i)))).collect()
    }
}

/// `(highest - logit) log2 e`, 16 fractional bits.
fn binary_distance(highest: i32, logit: i32) -> u64 {
    shift_round((i64::from(highest) - i64::from(logit)) * LOG2_E, 30).cast_unsigned()
}

#[allow(clippy::cast_possible_truncation, reason = "cut to 32 bits")]
fn cut(x: u64) -> u32 {
    x.min(u64::from(u32::MAX)) as u32
}

/// Whether `a` comes before `b` in the order of likelihood.
fn before(logits: &[i32], a: usize, b: usize) -> bool {
    logits[a] > logits[b] || (logits[a] == logits[b] && a < b)
}

/// The upper half of a 128-bit product.
#[allow(clippy::cast_possible_truncation, reason = "the upper half of 128 bits")]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// A vocabulary index; vocabularies have fewer than 2^32 entries.
#[allow(clippy::cast_possible_truncation, reason = "vocabularies are bounded far below 2^32")]
fn index(i: usize) -> u32 {
    i as u32
}

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]
mod tests {
    use super::*;

    const UNIT: i32 = 65_536;

    #[test]
    fn ties_go_to_the_first() {
        assert_eq!(argmax(&[1, 5, 5, 2]), 1);
        assert_eq!(Sampling::GREEDY.choose(&[-3, -3], 9), 0);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0, UNIT, 2 * UNIT, -UNIT];
        let sampling = Sampling { temperature: 1 << 16, ..Sampling::GREEDY };
        let mut counts = [0f64; 4];
        for position in 0..40_000 {
            counts[sampling.choose(&logits, position) as usize] += 1.0 / 40_000.0;
        }
        let total: f64 = [0.0f64, 1.0, 2.0, -1.0].iter().map(|x| x.exp()).sum();
        for (count, logit) in counts.iter().zip([0.0f64, 1.0, 2.0, -1.0]) {
            assert!((count - logit.exp() / total).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn top_k_and_top_p_cut() {
        let logits = [0, UNIT, 2 * UNIT, 2 * UNIT, -UNIT];
        let hot = Sampling { temperature: 100 << 16, ..Sampling::GREEDY };
        let seen = |sampling: Sampling| {
            let mut seen: Vec<u32> =
                (0..300).map(|position| sampling.choose(&logits, position)).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(seen(hot), [0, 1, 2, 3, 4]);
        assert_eq!(seen(Sampling { top_k: 1, ..hot }), [2], "a tie keeps the lower index");
        assert_eq!(seen(Sampling { top_k: 3, ..hot }), [1, 2, 3]);
        // At this temperature all five weigh about a fifth each.
        assert_eq!(seen(Sampling { top_p: 39 * 655, ..hot }), [2, 3]);
        assert_eq!(seen(Sampling { top_p: 0, ..hot }), [2]);
    }

    #[test]
    fn seeds_and_streams_differ_and_repeat() {
        let logits: Vec<i32> = (0..100).map(|i| i * 100).collect();
        let run = |seed, stream| {
            let sampling = Sampling { temperature: 1 << 16, seed, stream, ..Sampling::GREEDY };
            (0..20).map(|position| sampling.choose(&logits, position)).collect::<Vec<_>>()
        };
        assert_eq!(run(1, 0), run(1, 0));
        assert_ne!(run(1, 0), run(2, 0));
        assert_ne!(run(1, 0), run(1, 1));
    }

    #[test]
    fn log_probabilities_are_right() {
        let logits = [0, UNIT, 5 * UNIT, -20 * UNIT];
        let ours = LogProbabilities::new(&logits);
        let total: f64 = logits.iter().map(|x| (f64::from(*x) / 65536.0).exp()).sum();
        for (i, logit) in logits.iter().enumerate() {
            let exact = f64::from(*logit) / 65536.0 - total.ln();
            assert!((f64::from(ours.of(i as u32)) / 65536.0 - exact).abs() < 4e-5);
        }
        assert_eq!(ours.top(2).iter().map(|x| x.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(ours.top(9).len(), 4);
        assert_eq!(LogProbabilities::new(&[7]).of(0), 0);
    }
}
