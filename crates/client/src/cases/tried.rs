//! Moves of which nothing comes. Whoever does the same again and again only burns gas.

use super::Millis;

/// First and longest pause after something failed or changed nothing.
const PAUSE: (Millis, Millis) = (500, 30_000);

/// A move, and how things stood then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried<M> {
    /// All that the move can be meant to change.
    mark: M,
    /// How often in a row nothing came of it.
    times: u32,
    not_before: Millis,
}

impl<M: PartialEq> Tried<M> {
    /// Notes a move that is to be made after an earlier one.
    ///
    /// # Errors
    /// How long to wait, if it is the same again and nothing has come of it.
    pub(super) fn again(before: Option<&Self>, mark: M, now: Millis) -> Result<Self, Millis> {
        let times = match before.filter(|tried| tried.mark == mark) {
            Some(tried) if tried.not_before > now => return Err(tried.not_before - now),
            Some(tried) => tried.times.saturating_add(1),
            None => 0,
        };
        Ok(Self { mark, times, not_before: now.saturating_add(pause(times)) })
    }
}

impl<M> Tried<M> {
    /// The clock was set back.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
    }
}

/// The pause after so many fruitless attempts before this one.
pub(crate) fn pause(before: u32) -> Millis {
    PAUSE.0.saturating_mul(1 << before.min(10)).min(PAUSE.1)
}
