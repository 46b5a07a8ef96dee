//! What may be spent on one answer, over all providers that are asked for it and all rounds of asking.

use std::time::Duration;

use tokio::time::Instant;

/// Most providers that may fail.
const FAILURES: u32 = 3;
/// Most that may say no at once, which costs a round trip each: busy ones, and those that do not sell it any more.
const DECLINES: u32 = 16;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    failures: u32,
    declines: u32,
    /// What there was at the beginning.
    pub(crate) time: Duration,
    /// When the answer has to be whole.
    pub(crate) until: Instant,
}

impl Tries {
    /// For an answer that may take so long.
    pub(crate) fn new(time: Duration) -> Self {
        let until = Instant::now() + time;
        Self { failures: FAILURES, declines: DECLINES, time, until }
    }

    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_sub(1);
    }

    pub(crate) fn declined(&mut self) {
        self.declines = self.declines.saturating_sub(1);
    }

    /// Whether another may be asked.
    pub(crate) fn are_left(&self) -> bool {
        self.failures > 0 && self.declines > 0 && Instant::now() < self.until
    }
}
