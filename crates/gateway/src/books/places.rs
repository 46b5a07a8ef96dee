//! What a key has taken for a while: amounts for answers, and places for questions and answers. Places are shared by
//! all keys of one owner, or whoever has many keys would have the places of many.

use std::collections::{HashMap, hash_map::Entry};

use alloy::primitives::Address;
use tilth_protocol::Amount;

use super::{Books, KeyId};

/// Who shares places, and memory for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// All keys of this owner.
    Owner(Address),
    /// One key without an owner: those are handed to different people.
    Key(KeyId),
}

/// Places that are taken, of a key or of all keys together that share them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// Answers under way.
    pub(super) holds: u32,
    /// Questions that are read or answered.
    pub(super) visits: u32,
}

/// One kind of places.
pub(super) type Kind = fn(&mut Places) -> &mut u32;

/// For answers.
pub(super) fn holds(places: &mut Places) -> &mut u32 {
    &mut places.holds
}

/// For questions.
pub(super) fn visits(places: &mut Places) -> &mut u32 {
    &mut places.visits
}

/// Places by who shares them; of those who have any.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Holder, Places>);

impl Shares {
    /// Takes one of at most `most`; whether there was one.
    pub(super) fn take(&mut self, holder: Holder, kind: Kind, most: u32) -> bool {
        let mut places = self.0.get(&holder).copied().unwrap_or_default();
        let taken = kind(&mut places);
        if *taken >= most {
            return false;
        }
        *taken += 1;
        self.0.insert(holder, places);
        true
    }

    /// Gives one back.
    pub(super) fn give(&mut self, holder: Holder, kind: Kind) {
        let Entry::Occupied(mut places) = self.0.entry(holder) else { return };
        let taken = kind(places.get_mut());
        *taken = taken.saturating_sub(1);
        if *places.get() == Places::default() {
            places.remove();
        }
    }

    /// Whether nobody has any.
    #[cfg(test)]
    pub(super) fn are_free(&self) -> bool {
        self.0.is_empty()
    }
}

/// An amount that is held. It is free again when this is dropped.
#[derive(Debug)]
pub struct Hold {
    pub(super) books: Books,
    pub(super) id: KeyId,
    pub(super) holder: Holder,
    pub(super) amount: Amount,
    /// Neither charged nor given back yet.
    pub(super) open: bool,
}

impl Hold {
    /// Whose share it is of.
    pub fn holder(&self) -> Holder {
        self.holder
    }
}

/// A question that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Visit {
    pub(super) books: Books,
    pub(super) id: KeyId,
    pub(super) holder: Holder,
}

impl Visit {
    /// Whose share it is of.
    pub fn holder(&self) -> Holder {
        self.holder
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.books.state().give(&self.id, self.holder, visits);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.open {
            let mut state = self.books.state();
            if let Some(live) = state.keys.get_mut(&self.id) {
                live.record.budget.release(self.amount);
            }
            state.give(&self.id, self.holder, holds);
        }
    }
}
