//! When may somebody say that a provider has failed? Pure: the asker tells how each try went.
//!
//! A late answer may be the network's fault, or the machine's that slept; so it is tried again on fresh
//! nonces, twice, before anything is said. A wrong answer is evidence for everybody, because it is signed;
//! it is tried again as well, so that a single flipped bit is told from a cheat, but never forgotten. A busy
//! provider has not failed at all.

use tilth_protocol::challenge::{Times, class::Deadline};

/// Tries before anything is said against a provider: once, and twice on fresh nonces.
pub const TRIES: u32 = 3;

/// How one try went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// Right, and in time.
    Right,
    /// Right, but too late, or no answer at all.
    Late,
    /// Signed and wrong.
    Wrong,
    /// The provider said that its device failed, or broke off.
    Broken,
    /// Not now: busy, or asked too often. Nothing is known.
    Busy,
}

/// What may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// It has the class that it was asked about, and no answer was wrong.
    Passed,
    /// The answer is right, and nothing is known of its strength: it was asked about no class, or for less work than
    /// shows one.
    Right,
    /// It signed a wrong answer; the transcript shows it to anybody.
    Wrong,
    /// It was late in all tries. Only the asker can know.
    TooSlow,
    /// It broke off in all tries.
    Failed,
    /// It had no time; ask again later.
    Unknown,
}

/// Where an asker is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking {
    of_class: bool,
    tries: u32,
    wrong: u32,
    broken: u32,
}

impl Asking {
    /// `of_class`: whether answers in time show a class. Without one nobody is late either.
    pub fn new(of_class: bool) -> Self {
        Self { of_class, ..Self::default() }
    }

    /// Takes in how a try went; says what may be said now, or that it is to be tried again.
    pub fn heard(&mut self, tried: Try) -> Option<Finding> {
        self.tries = self.tries.saturating_add(1);
        match tried {
            Try::Busy => {
                return Some(if self.wrong > 0 { Finding::Wrong } else { Finding::Unknown });
            }
            Try::Right if self.wrong == 0 => {
                return Some(if self.of_class { Finding::Passed } else { Finding::Right });
            }
            Try::Wrong => self.wrong += 1,
            Try::Broken => self.broken += 1,
            Try::Right | Try::Late => {}
        }
        if self.tries < TRIES {
            return None;
        }
        Some(match (self.wrong, self.broken) {
            (0, broken) if broken == self.tries => Finding::Failed,
            (0, _) => Finding::TooSlow,
            _ => Finding::Wrong,
        })
    }

    /// Tries so far.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

/// Most of a round trip that is added to a deadline: the answer it is measured by is the provider's to delay.
pub const MAX_ROUND_TRIP_MS: u64 = 1_000;

/// Whether a right answer came in time: each step within its deadline and one round trip, of which at most
/// [`MAX_ROUND_TRIP_MS`] count.
pub fn is_in_time(times: &Times, deadline: &Deadline) -> bool {
    let way = times.round_trip_ms.min(MAX_ROUND_TRIP_MS);
    let within = |took: u64, allowed: u64| took <= allowed.saturating_add(way);
    within(times.commit_ms, deadline.commit_ms)
        && within(times.walk_ms, deadline.walk_ms)
        && within(times.open_ms, deadline.open_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(tries: &[Try]) -> Vec<Option<Finding>> {
        let mut asking = Asking::new(true);
        tries.iter().map(|tried| asking.heard(*tried)).collect()
    }

    #[test]
    fn a_slow_answer_to_the_first_question_buys_no_time() {
        let deadline = Deadline { commit_ms: 100, walk_ms: 100, open_ms: 100 };
        let near = Times { round_trip_ms: 40, commit_ms: 140, ..Times::default() };
        assert!(is_in_time(&near, &deadline));
        let dawdling = Times { round_trip_ms: 9_000, commit_ms: 2_000, ..near };
        assert!(!is_in_time(&dawdling, &deadline));
    }

    #[test]
    fn nothing_is_said_before_three_tries() {
        use Try::{Broken, Busy, Late, Right, Wrong};
        assert_eq!(course(&[Right]), [Some(Finding::Passed)]);
        assert_eq!(course(&[Late, Right]), [None, Some(Finding::Passed)]);
        assert_eq!(course(&[Late, Broken, Right]), [None, None, Some(Finding::Passed)]);
        assert_eq!(course(&[Late, Late, Late]), [None, None, Some(Finding::TooSlow)]);
        assert_eq!(course(&[Broken, Late, Broken]), [None, None, Some(Finding::TooSlow)]);
        assert_eq!(course(&[Broken; 3]), [None, None, Some(Finding::Failed)]);
        assert_eq!(course(&[Busy]), [Some(Finding::Unknown)]);
        assert_eq!(course(&[Late, Busy]), [None, Some(Finding::Unknown)]);
        for mixed in
            [[Wrong, Right, Right], [Late, Wrong, Right], [Wrong, Late, Broken], [Wrong; 3]]
        {
            assert_eq!(course(&mixed), [None, None, Some(Finding::Wrong)], "{mixed:?}");
        }
        assert_eq!(course(&[Wrong, Busy]), [None, Some(Finding::Wrong)], "a signed answer stays");
    }

    #[test]
    fn an_answer_that_shows_no_class_is_right_and_no_more() {
        assert_eq!(Asking::new(false).heard(Try::Right), Some(Finding::Right));
        let mut asking = Asking::new(false);
        assert_eq!(asking.heard(Try::Wrong), None);
        assert_eq!(asking.heard(Try::Right), None, "a signed wrong answer is not taken back");
    }

    #[test]
    fn the_way_there_is_not_held_against_a_provider() {
        let deadline = Deadline { commit_ms: 100, walk_ms: 10, open_ms: 20 };
        let times = Times { commit_ms: 150, walk_ms: 60, open_ms: 70, round_trip_ms: 50 };
        assert!(is_in_time(&times, &deadline));
        for late in [
            Times { commit_ms: 151, ..times },
            Times { walk_ms: 61, ..times },
            Times { open_ms: 71, ..times },
            Times { round_trip_ms: 49, ..times },
        ] {
            assert!(!is_in_time(&late, &deadline), "{late:?}");
        }
    }
}
