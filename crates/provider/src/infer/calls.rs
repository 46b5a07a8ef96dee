//! Who is on the line: places for calls and for answers, so that no caller takes those of all others. Pure.

use std::{collections::HashMap, hash::Hash};

/// Calls that are open.
#[derive(Debug)]
pub(super) struct Calls {
    /// Most in all.
    most: usize,
    /// Most of one caller.
    most_each: usize,
    next: u64,
    open: HashMap<u64, Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    caller: [u8; 32],
    /// Since which step nothing was asked on it; `None`: something is being answered.
    idle_since: Option<u64>,
}

/// What comes of a new call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It has this number.
    At(u64),
    /// The same, if the other one is hung up, which has been idle for longest.
    InPlaceOf(u64, u64),
    /// There is no place for it.
    Refused,
}

impl Calls {
    pub(super) fn new(most: usize, most_each: usize) -> Self {
        Self { most, most_each, next: 0, open: HashMap::new() }
    }

    fn step(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A call comes in. A caller with as many as it may have, and all callers when there is no place left, give the
    /// one up that was not used for longest.
    pub(super) fn enter(&mut self, caller: [u8; 32]) -> Entered {
        let own = self.open.values().filter(|open| open.caller == caller).count();
        let idle = |only: Option<[u8; 32]>| {
            let all =
                self.open.iter().filter(|(_, open)| only.is_none_or(|own| own == open.caller));
            let idle = all.filter_map(|(number, open)| Some((open.idle_since?, *number)));
            idle.min().map(|(_, number)| number)
        };
        let given_up = if own >= self.most_each {
            idle(Some(caller)).map(Some)
        } else if self.open.len() >= self.most {
            idle(None).map(Some)
        } else {
            Some(None)
        };
        let Some(given_up) = given_up else { return Entered::Refused };
        if let Some(number) = given_up {
            self.open.remove(&number);
        }
        let number = self.step();
        self.open.insert(number, Open { caller, idle_since: Some(number) });
        given_up.map_or(Entered::At(number), |other| Entered::InPlaceOf(number, other))
    }

    /// Something is asked on it. Says whether it is still open.
    pub(super) fn busy(&mut self, number: u64) -> bool {
        self.open.get_mut(&number).map(|open| open.idle_since = None).is_some()
    }

    /// That was answered.
    pub(super) fn idle(&mut self, number: u64) {
        let step = self.step();
        if let Some(open) = self.open.get_mut(&number) {
            open.idle_since = Some(step);
        }
    }

    /// It is over.
    pub(super) fn leave(&mut self, number: u64) {
        self.open.remove(&number);
    }
}

/// Answers that run or wait, by whose they are.
#[derive(Debug)]
pub(super) struct Shares<K>(HashMap<K, usize>);

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Shares<K> {
    /// Takes one of `most` places: three quarters may be one caller's, rounded down, and at least one; the rest are for
    /// others.
    pub(super) fn take(&mut self, whose: K, most: usize) -> bool {
        let own = self.0.entry(whose).or_default();
        let fits = *own < (most - most.div_ceil(4)).max(1);
        *own += usize::from(fits);
        fits
    }

    pub(super) fn give_back(&mut self, whose: &K) {
        if let Some(own) = self.0.get_mut(whose) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.0.remove(whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_with_all_places_gives_up_its_idle_calls_and_keeps_the_busy_ones() {
        let mut calls = Calls::new(4, 3);
        let (stranger, other) = ([1; 32], [2; 32]);
        for number in 1..=3 {
            assert_eq!(calls.enter(stranger), Entered::At(number));
        }
        // It has all that one may have: its own oldest goes.
        assert_eq!(calls.enter(stranger), Entered::InPlaceOf(4, 1));
        assert!(!calls.busy(1), "hung up");
        assert_eq!(calls.enter(other), Entered::At(5));
        assert_eq!(calls.enter([3; 32]), Entered::InPlaceOf(6, 2));
        // What was used last goes last.
        assert!(calls.busy(3));
        calls.idle(3);
        assert_eq!(calls.enter([4; 32]), Entered::InPlaceOf(8, 4));
        for number in [3, 5, 6, 8] {
            assert!(calls.busy(number));
        }
        assert_eq!(calls.enter([5; 32]), Entered::Refused);
        calls.leave(5);
        assert_eq!(calls.enter([5; 32]), Entered::At(9));
    }

    #[test]
    fn one_caller_leaves_a_quarter_to_the_others() {
        let mut shares = Shares::default();
        assert_eq!((0..20).filter(|_| shares.take(1, 8)).count(), 6);
        assert!(shares.take(2, 8));
        shares.give_back(&1);
        assert!(shares.take(1, 8) && !shares.take(1, 8));
        shares.give_back(&2);
        shares.give_back(&3);
        assert_eq!(shares.0.len(), 1);
        assert!(shares.take(4, 1), "where there is one place anybody may have it");
    }

    #[test]
    fn of_few_places_one_is_left_to_the_others_too() {
        for (most, share) in (1..).zip([1, 1, 2, 3, 3, 4, 5, 6]) {
            let mut shares = Shares::default();
            assert_eq!((0..20).filter(|_| shares.take(1, most)).count(), share, "of {most}");
        }
    }
}
