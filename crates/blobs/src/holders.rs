//! Whom to ask next: the pure part of fetching.
//!
//! A [`Search`] is one get. It asks the holders in turn, the ones that failed again after a growing
//! pause, and never again (in this search) the ones that offered something else than was asked for.
//! [`Liars`] outlives searches: a holder whose bytes did not match the hash is not asked at all for a
//! while. Offering another *size* is not remembered beyond the search, because there the asker's own
//! source may be the liar.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// An endpoint's public key.
pub(crate) type EndpointKey = [u8; 32];

/// Pause after the first failure of a holder; doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two attempts at one holder.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a holder that sent wrong bytes is left alone.
const LIAR_PAUSE: Duration = Duration::from_secs(600);
/// Most liars remembered; the one that is free soonest makes room.
const MAX_LIARS: usize = 1024;

/// Holders that sent bytes which do not match the hash.
#[derive(Debug, Default)]
pub(crate) struct Liars {
    until: HashMap<EndpointKey, Instant>,
}

impl Liars {
    /// Remembers one.
    pub(crate) fn remember(&mut self, endpoint: EndpointKey, now: Instant) {
        if self.until.len() >= MAX_LIARS {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MAX_LIARS
            && let Some(soonest) = self.until.iter().min_by_key(|(_, until)| **until)
        {
            let soonest = *soonest.0;
            self.until.remove(&soonest);
        }
        self.until.insert(endpoint, now + LIAR_PAUSE);
    }

    fn contains(&self, endpoint: &EndpointKey, now: Instant) -> bool {
        self.until.get(endpoint).is_some_and(|until| *until > now)
    }
}

/// How an attempt at one holder failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not reached, too slow, broken off, or it does not have the content (yet).
    Passing,
    /// Offered something other than what was asked for.
    Unfit,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Ask the holder with this index in the caller's list.
    Ask(usize),
    /// Everybody failed lately; look again at this moment.
    Wait(Instant),
    /// Nobody is left who may be asked.
    Nobody,
}

#[derive(Debug)]
struct Candidate {
    ready: Instant,
    failures: u32,
    unfit: bool,
}

/// One get: the state of each holder in it.
#[derive(Debug)]
pub(crate) struct Search {
    candidates: Vec<Candidate>,
}

impl Search {
    /// Begins with the caller's holders, without `own` (one cannot fetch from oneself), without
    /// repetitions and without known liars.
    pub(crate) fn new(
        holders: &[EndpointKey],
        own: &EndpointKey,
        liars: &Liars,
        now: Instant,
    ) -> Self {
        let candidates = holders
            .iter()
            .enumerate()
            .map(|(index, holder)| Candidate {
                ready: now,
                failures: 0,
                unfit: holder == own
                    || liars.contains(holder, now)
                    || holders[..index].contains(holder),
            })
            .collect();
        Self { candidates }
    }

    /// Whom to ask: of those that may be asked now the one with the fewest failures, in the caller's
    /// order.
    pub(crate) fn choose(&self, now: Instant) -> Choice {
        let fit = || self.candidates.iter().enumerate().filter(|(_, holder)| !holder.unfit);
        let ready = fit()
            .filter(|(_, holder)| holder.ready <= now)
            .min_by_key(|(_, holder)| holder.failures);
        match (ready, fit().map(|(_, holder)| holder.ready).min()) {
            (Some((index, _)), _) => Choice::Ask(index),
            (None, Some(soonest)) => Choice::Wait(soonest),
            (None, None) => Choice::Nobody,
        }
    }

    /// Takes note of a failure.
    pub(crate) fn failed(&mut self, index: usize, failure: Failure, now: Instant) {
        let Some(holder) = self.candidates.get_mut(index) else { return };
        match failure {
            Failure::Unfit => holder.unfit = true,
            Failure::Passing => {
                let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(holder.failures));
                holder.ready = now + pause.min(LONGEST_PAUSE);
                holder.failures = holder.failures.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: EndpointKey = [0xff; 32];

    fn search(holders: &[u8], now: Instant) -> Search {
        let holders: Vec<_> = holders.iter().map(|byte| [*byte; 32]).collect();
        Search::new(&holders, &OWN, &Liars::default(), now)
    }

    #[test]
    fn holders_are_asked_in_turn_and_again_after_a_pause() {
        let now = Instant::now();
        let mut search = search(&[1, 2], now);
        assert_eq!(search.choose(now), Choice::Ask(0));
        search.failed(0, Failure::Passing, now);
        assert_eq!(search.choose(now), Choice::Ask(1));
        search.failed(1, Failure::Passing, now);
        assert_eq!(search.choose(now), Choice::Wait(now + FIRST_PAUSE));
        assert_eq!(search.choose(now + FIRST_PAUSE), Choice::Ask(0));
    }

    #[test]
    fn nobody_asks_oneself_a_liar_or_the_same_holder_twice() {
        let now = Instant::now();
        let mut liars = Liars::default();
        liars.remember([1; 32], now);
        let mut search = Search::new(&[OWN, [1; 32], [2; 32], [2; 32]], &OWN, &liars, now);
        assert_eq!(search.choose(now), Choice::Ask(2));
        search.failed(2, Failure::Unfit, now);
        assert_eq!(search.choose(now), Choice::Nobody);
        let later = now + LIAR_PAUSE;
        assert_eq!(Search::new(&[[1; 32]], &OWN, &liars, later).choose(later), Choice::Ask(0));
    }

    #[test]
    fn memory_of_liars_is_bounded() {
        let now = Instant::now();
        let mut liars = Liars::default();
        for number in 0..3 * MAX_LIARS as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            liars.remember(key, now + Duration::from_micros(number));
        }
        assert_eq!(liars.until.len(), MAX_LIARS);
    }

    proptest! {
        #[test]
        fn every_fit_holder_is_asked_again_and_again(count in 1_u8..6, steps in 20_usize..60) {
            let mut now = Instant::now();
            let mut search = search(&(0..count).collect::<Vec<_>>(), now);
            let count = usize::from(count);
            let mut asked = vec![0; count];
            for _ in 0..steps * count {
                match search.choose(now) {
                    Choice::Ask(index) => {
                        asked[index] += 1;
                        search.failed(index, Failure::Passing, now);
                    }
                    Choice::Wait(until) => {
                        prop_assert!(until > now && until <= now + LONGEST_PAUSE);
                        now = until;
                    }
                    Choice::Nobody => prop_assert!(false, "nobody left"),
                }
            }
            let (fewest, most) = (asked.iter().min().unwrap(), asked.iter().max().unwrap());
            prop_assert!(*fewest >= 5 && most - fewest <= 1, "{asked:?}");
        }
    }
}
