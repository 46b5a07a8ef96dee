//! Who does not answer is asked again after a while, and after a longer one each time: nobody keeps the others
//! waiting by being silent. Pure: the time goes in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use alloy::primitives::Address;

/// Wait after a first time without an answer; doubles with every further one in a row.
const FIRST: Duration = Duration::from_secs(10);
/// At most.
const LONGEST: Duration = Duration::from_secs(120);
/// Most providers that are remembered.
const MAX_QUIET: usize = 4096;

/// Providers that did not answer, or sell nothing.
#[derive(Debug, Default)]
pub(super) struct Quiet(HashMap<Address, (Instant, Duration)>);

impl Quiet {
    /// Whether it is asked now.
    pub(super) fn is_due(&self, owner: Address, now: Instant) -> bool {
        self.0.get(&owner).is_none_or(|(until, _)| now >= *until)
    }

    /// Whether it answered when it was asked last.
    pub(super) fn is_good(&self, owner: Address) -> bool {
        !self.0.contains_key(&owner)
    }

    /// It has answered.
    pub(super) fn answered(&mut self, owner: Address) {
        self.0.remove(&owner);
    }

    /// It has not.
    pub(super) fn silent(&mut self, owner: Address, now: Instant) {
        if self.0.len() >= MAX_QUIET {
            self.0.retain(|_, (until, _)| *until > now);
        }
        let known = self.0.get(&owner).map(|(_, wait)| *wait);
        if known.is_none() && self.0.len() >= MAX_QUIET {
            return;
        }
        let wait = known.map_or(FIRST, |wait| (wait * 2).min(LONGEST));
        self.0.insert(owner, (now + wait, wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_silent_is_asked_less_and_less_and_an_answer_forgives() {
        let (mut quiet, owner, began) = (Quiet::default(), Address::ZERO, Instant::now());
        assert!(quiet.is_due(owner, began) && quiet.is_good(owner));
        let mut now = began;
        for wait in [10, 20, 40, 80, 120, 120] {
            quiet.silent(owner, now);
            now += Duration::from_secs(wait);
            assert!(!quiet.is_due(owner, now - Duration::from_millis(1)), "{wait}");
            assert!(quiet.is_due(owner, now) && !quiet.is_good(owner), "{wait}");
        }
        quiet.answered(owner);
        quiet.silent(owner, now);
        assert!(quiet.is_due(owner, now + FIRST));
    }

    #[test]
    fn a_crowd_takes_no_more_memory_than_there_is() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        for number in 0..2 * MAX_QUIET as u64 {
            quiet.silent(Address::left_padding_from(&number.to_be_bytes()), now);
        }
        assert_eq!(quiet.0.len(), MAX_QUIET);
        quiet.silent(Address::repeat_byte(9), now + LONGEST);
        assert_eq!(quiet.0.len(), 1, "those who are due again are forgotten first");
    }
}
