//! Who takes part in asks for holders, and what is fixed for each of them.

use alloy::primitives::{Address, B256};
use tilth_contracts::HoldState;
use tilth_protocol::RangeId;

use crate::{audit::Millis, cases::rank};

/// Who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client of the job, the only one that is looked at.
    Client,
    /// The provider of this owner.
    Provider(Address),
    /// The auditor with this number.
    Auditor(u32),
}

/// What a party is in an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its deposit pays.
    Client,
    /// The range is its.
    Provider,
    /// Draws name it.
    Holder,
    /// None of these.
    Anybody,
}

/// What is fixed for the life of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who we are.
    pub party: Party,
    /// What nobody else is called: whose turn it is with what anybody may do is reckoned from it, anew for every range.
    pub name: B256,
    /// What anybody may do is done within so long, by one after the other.
    pub spread: Millis,
    /// If no block comes for so long while the beacon is awaited, we make one.
    pub poke_after: Millis,
    /// A client's: so long after the window, or after a failed ask, it gives a provider to ask itself, which knows the size
    /// and is cheaper for it; the contract gives it `ASK_FIRST_S`.
    pub ask_after: Millis,
    /// A client's: its deposit is filled up as long as it stays within this, base units.
    pub most: u128,
}

impl Rules {
    /// Our place among all who may do the next thing in an ask: any number, another one for every range and step.
    pub(super) fn rank(&self, range: RangeId, round: u64, state: HoldState) -> u64 {
        rank(self.name, range, round, state.into())
    }
}
