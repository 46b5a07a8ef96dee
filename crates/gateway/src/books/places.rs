//! What a key has taken for a while: amounts for answers, and places for questions.

use tilth_protocol::Amount;

use super::{Books, KeyId};

/// An amount that is held. It is free again when this is dropped.
#[derive(Debug)]
pub struct Hold {
    pub(super) books: Books,
    pub(super) id: KeyId,
    pub(super) amount: Amount,
    /// Neither charged nor given back yet.
    pub(super) open: bool,
}

/// A question that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Visit {
    pub(super) books: Books,
    pub(super) id: KeyId,
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(live) = self.books.state().keys.get_mut(&self.id) {
            live.visits = live.visits.saturating_sub(1);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.open {
            let mut state = self.books.state();
            if let Some(live) = state.keys.get_mut(&self.id) {
                live.record.budget.release(self.amount);
                live.holds = live.holds.saturating_sub(1);
            }
        }
    }
}
