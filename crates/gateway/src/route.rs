//! Whom to ask. Pure: offers, what is known of the providers, and the time go in; an order comes out.

use tilth_protocol::{Amount, infer::Prices};

/// A failure keeps a provider at the end of the list for so long, doubled with every further one in a row.
const FIRST_PENALTY_MS: u64 = 2_000;
/// At most, unless the failure itself took longer.
const MAX_PENALTY_MS: u64 = 300_000;
/// Who says that it is busy, or does not sell this any more, comes after the others for so long.
const DECLINED_MS: u64 = 5_000;
/// Time to the first token, in milliseconds, that doubles what an answer is taken to cost: whoever asks waits.
const DOUBLING_MS: u64 = 2_000;
/// What is assumed of a provider that was never asked.
const UNKNOWN_MS: u64 = 500;
/// Weight of the newest measurement: 1/8.
const SMOOTHING: u64 = 8;

/// What is known of a provider from having asked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Smoothed time to the first token, milliseconds; 0: unknown.
    pub first_ms: u64,
    /// Failures since the last answer that ended well.
    pub failures: u32,
    /// When the last one was, milliseconds.
    pub failed_at_ms: u64,
    /// How long it was waited for in vain then, milliseconds.
    pub lost_ms: u64,
    /// Until when it is taken to be busy.
    pub declined_until_ms: u64,
    /// Answers that ended well.
    pub answers: u64,
    /// Answers under way from here.
    pub under_way: u32,
}

impl Standing {
    /// A first token came after so long.
    pub fn began(&mut self, first_ms: u64) {
        let first_ms = first_ms.max(1);
        self.first_ms = match self.first_ms {
            0 => first_ms,
            known => (known.saturating_mul(SMOOTHING - 1).saturating_add(first_ms)) / SMOOTHING,
        };
    }

    /// An answer ended well.
    pub fn ended(&mut self) {
        self.failures = 0;
        self.answers = self.answers.saturating_add(1);
    }

    /// It failed after so long. The penalty is never shorter: who makes people wait in vain would otherwise be asked
    /// again at once.
    pub fn failed(&mut self, now_ms: u64, lost_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at_ms = now_ms;
        self.lost_ms = lost_ms;
    }

    /// It did not take the question.
    pub fn declined(&mut self, now_ms: u64) {
        self.declined_until_ms = now_ms.saturating_add(DECLINED_MS);
    }

    /// How far behind the others it waits.
    fn rank(&self, now_ms: u64) -> u8 {
        let doubled = match self.failures.checked_sub(1) {
            Some(more) => FIRST_PENALTY_MS.saturating_mul(1 << more.min(20)),
            None => 0,
        };
        let penalty = match doubled {
            0 => 0,
            doubled => doubled.min(MAX_PENALTY_MS).max(self.lost_ms),
        };
        if now_ms.saturating_sub(self.failed_at_ms) < penalty {
            2
        } else {
            u8::from(now_ms < self.declined_until_ms)
        }
    }
}

/// One that may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// What it wants.
    pub prices: Prices,
    /// What is known of it.
    pub standing: Standing,
    /// Answers under way at its own last word.
    pub busy: u32,
}

/// In which order to ask, for a question of about so many tokens. Those whose price has no sum are left out.
///
/// What counts is the price, raised by half again for every second that the provider lets people wait; a provider
/// that has just failed comes after all that have not, one that was just busy between them.
pub fn order(candidates: &[Candidate], input: u32, output: u32, now_ms: u64) -> Vec<usize> {
    let mut scored: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| {
            let cost = candidate.prices.cost(input, output)?.max(Amount(1));
            let Standing { first_ms, under_way, .. } = candidate.standing;
            let known = if first_ms == 0 { UNKNOWN_MS } else { first_ms };
            let factor = u128::from(DOUBLING_MS.saturating_add(known));
            let score = cost.0.saturating_mul(factor);
            let load = candidate.busy.max(under_way);
            Some((candidate.standing.rank(now_ms), score, load, index))
        })
        .collect();
    scored.sort_unstable();
    scored.into_iter().map(|(.., index)| index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(price: u128, first_ms: u64) -> Candidate {
        let prices = Prices { input: Amount(price), output: Amount(price) };
        Candidate { prices, standing: Standing { first_ms, ..Standing::default() }, busy: 0 }
    }

    #[test]
    fn price_counts_then_waiting_then_load() {
        let million = 1_000_000_000;
        assert_eq!(order(&[at(3 * million, 100), at(2 * million, 100)], 10, 10, 0), [1, 0]);
        assert_eq!(order(&[at(2 * million, 9_000), at(3 * million, 100)], 10, 10, 0), [1, 0]);
        let busy = Candidate { busy: 5, ..at(million, 100) };
        assert_eq!(order(&[busy, at(million, 100)], 10, 10, 0), [1, 0]);
        assert_eq!(order(&[at(u128::MAX, 1), at(million, 100)], 10, 10, 0), [1]);
    }

    #[test]
    fn who_fails_waits_longer_each_time_and_comes_back() {
        let mut failing = at(1, 10);
        let good = at(1 << 60, 10);
        failing.standing.failed(1_000, 0);
        assert_eq!(order(&[failing, good], 1000, 1000, 2_000), [1, 0]);
        assert_eq!(order(&[failing, good], 1000, 1000, 3_001), [0, 1]);
        failing.standing.failed(4_000, 0);
        assert_eq!(order(&[failing, good], 1000, 1000, 7_000), [1, 0]);
        assert_eq!(order(&[failing, good], 1000, 1000, 8_000), [0, 1]);
        for _ in 0..90 {
            failing.standing.failed(9_000, 0);
        }
        assert_eq!(order(&[failing, good], 1000, 1000, 308_999), [1, 0]);
        assert_eq!(order(&[failing, good], 1000, 1000, 309_000), [0, 1]);
        failing.standing.ended();
        assert_eq!(order(&[failing, good], 1000, 1000, 9_001), [0, 1]);
    }

    #[test]
    fn the_time_that_was_lost_is_the_least_penalty_and_busy_ones_come_between() {
        let (mut silent, mut busy, good) = (at(1, 10), at(2, 10), at(1 << 60, 10));
        silent.standing.failed(120_000, 120_000);
        busy.standing.declined(120_000);
        assert_eq!(order(&[silent, busy, good], 1000, 1000, 124_999), [2, 1, 0]);
        assert_eq!(order(&[silent, busy, good], 1000, 1000, 125_000), [1, 2, 0]);
        assert_eq!(order(&[silent, busy, good], 1000, 1000, 239_999), [1, 2, 0]);
        assert_eq!(order(&[silent, busy, good], 1000, 1000, 240_000), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn everybody_with_a_price_is_asked_once(
            prices in proptest::collection::vec((0u128..1 << 96, 0u64..100_000, 0u32..40), 0..20),
            now in any::<u64>(),
        ) {
            let candidates: Vec<_> = prices.iter().map(|(price, first_ms, failures)| {
                let mut candidate = at(*price, *first_ms);
                candidate.standing.failures = *failures;
                candidate
            }).collect();
            let mut all = order(&candidates, 1 << 20, 1 << 10, now);
            all.sort_unstable();
            prop_assert_eq!(all, (0..candidates.len()).collect::<Vec<_>>());
        }
    }
}
