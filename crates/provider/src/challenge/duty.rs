//! How much of a machine's time challenges may take. Pure: whoever asks tells the time.
//!
//! Anyone may ask, and asking costs nothing; so the answer must not cost the owner much either. One challenge
//! at a time, none beside a job or when the owner is there, and a thousandth of the time in the long run.

/// Work in stock at most, in milliseconds: ten challenges of a class's size, for two askers who try three
/// times, and some more.
const STOCK_MS: u64 = 30_000;
/// A millisecond of work for so many milliseconds of time: 0.1 %.
const EARNED_IN_MS: u64 = 1_000;

/// Why not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum No {
    /// Something runs.
    Busy,
    /// The stock is used up.
    TooSoon {
        /// Until there is some again.
        seconds: u32,
    },
}

/// The stock of time for challenges.
#[derive(Debug)]
pub(super) struct Duty {
    /// May be below zero after a challenge that took longer than there was; in thousandths of a
    /// millisecond, so that nothing is lost when it is asked often.
    stock: i128,
    at_ms: u64,
    running: bool,
}

impl Default for Duty {
    fn default() -> Self {
        Self { stock: i128::from(STOCK_MS * EARNED_IN_MS), at_ms: 0, running: false }
    }
}

impl Duty {
    /// May a challenge begin? If so one runs until [`Duty::done`].
    pub(super) fn begin(&mut self, now_ms: u64, works: bool) -> Result<(), No> {
        if works || self.running {
            return Err(No::Busy);
        }
        self.earn(now_ms);
        if self.stock <= 0 {
            let missing = u64::try_from(-self.stock).unwrap_or(u64::MAX);
            let seconds = u32::try_from(missing / 1_000 + 1).unwrap_or(u32::MAX);
            return Err(No::TooSoon { seconds });
        }
        self.running = true;
        Ok(())
    }

    /// The challenge that ran is over.
    pub(super) fn done(&mut self, now_ms: u64, took_ms: u64) {
        self.earn(now_ms);
        self.running = false;
        self.stock -= i128::from(took_ms) * i128::from(EARNED_IN_MS);
    }

    fn earn(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.stock = (self.stock + i128::from(passed)).min(i128::from(STOCK_MS * EARNED_IN_MS));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_at_a_time_and_none_beside_a_job() {
        let mut duty = Duty::default();
        assert_eq!(duty.begin(0, true), Err(No::Busy));
        assert_eq!(duty.begin(0, false), Ok(()));
        assert_eq!(duty.begin(1, false), Err(No::Busy));
        duty.done(100, 100);
        assert_eq!(duty.begin(101, false), Ok(()));
    }

    #[test]
    fn who_has_answered_its_share_says_when_to_come_back() {
        let mut duty = Duty::default();
        duty.begin(0, false).unwrap();
        duty.done(31_000, 31_000);
        let Err(No::TooSoon { seconds }) = duty.begin(31_000, false) else { panic!() };
        assert_eq!(seconds, 1_001, "a second too much, earned in a thousand");
        assert!(duty.begin(31_000 + u64::from(seconds) * 1_000, false).is_ok());
    }

    proptest! {
        /// However often it is asked, the time spent stays within the share and the stock, but for the last one.
        #[test]
        fn the_share_is_kept(steps in prop::collection::vec((0..200_000_u64, 1..20_000_u64), 1..200)) {
            let (mut duty, mut now, mut spent, mut longest) = (Duty::default(), 0, 0, 0);
            for (pause, took) in steps {
                now += pause;
                if duty.begin(now, false).is_ok() {
                    now += took;
                    duty.done(now, took);
                    spent += took;
                    longest = longest.max(took);
                }
            }
            prop_assert!(spent <= STOCK_MS + now / EARNED_IN_MS + longest);
        }
    }
}
