//! Whose turn it is with what anybody may do, and what is waited for before.

use alloy::primitives::{B256, keccak256};
use tilth_protocol::RangeId;

use super::{Act, Millis};

/// Our place among all who may do the next thing in a case, by what nobody else is called: any number, another one for
/// every case, round and state.
pub(crate) fn rank(name: B256, range: RangeId, round: u64, state: u8) -> u64 {
    let mut text = [0; 32 + 8 + 4 + 8 + 1];
    text[..32].copy_from_slice(name.as_slice());
    text[32..40].copy_from_slice(&range.job.0.to_be_bytes());
    text[40..44].copy_from_slice(&range.seq.to_be_bytes());
    text[44..52].copy_from_slice(&round.to_be_bytes());
    text[52] = state;
    let digest = keccak256(text);
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// From when on it is our turn with something, which is so long after it was first due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn(Option<Millis>);

impl Turn {
    /// Waits for our turn, and does it then.
    pub(crate) fn take<E>(&mut self, turn: Millis, now: Millis, effect: E) -> Act<E> {
        let from = *self.0.get_or_insert(now.saturating_add(turn));
        match from.checked_sub(now).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait),
            None => Act::Do(effect),
        }
    }

    /// The clock was set back.
    pub(crate) fn set_back(&mut self, by: Millis) {
        self.0 = self.0.map(|from| from.saturating_sub(by));
    }
}

/// Since when something is as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since<T>(Option<(T, Millis)>);

impl<T> Default for Since<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Copy + PartialEq> Since<T> {
    /// Since when it is what it is now.
    pub(crate) fn note(&mut self, what: T, now: Millis) -> Millis {
        let since = match self.0 {
            Some((known, since)) if known == what => since,
            _ => now,
        };
        self.0 = Some((what, since));
        since
    }

    /// The clock was set back.
    pub(crate) fn set_back(&mut self, by: Millis) {
        self.0 = self.0.map(|(what, since)| (what, since.saturating_sub(by)));
    }
}
