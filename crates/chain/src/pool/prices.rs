//! Transactions ordered by what they pay a block's producer, at a base fee that moves.
//!
//! What a transaction pays per gas is the lesser of its tip cap and its fee cap less the base fee.
//! So at any base fee the offers fall into two classes, in each of which the order does not depend
//! on the base fee: those whose tip cap binds (base fee up to fee cap less tip cap) and those whose
//! fee cap binds. When the base fee moves, only the offers between old and new change class; the
//! best and the worst offer are found in logarithmic time and no block needs a scan.

use std::{cmp::Reverse, collections::BTreeMap};

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;

use super::Pooled;

/// A transaction as an index knows it. Fees are in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    fee_cap: u128,
    /// At most the fee cap.
    tip_cap: u128,
    /// Unique in a pool.
    arrival: u64,
    /// Who sent it.
    pub(super) sender: Address,
}

/// What an offer pays at a base fee: whether it covers the base fee at all, how much beyond (or, if
/// it does not, the fee cap), and the earlier arrival before the later.
pub(super) type Rank = (bool, u128, Reverse<u64>);

impl Offer {
    pub(super) fn of(pooled: &Pooled) -> Self {
        let fee_cap = pooled.transaction.max_fee_per_gas();
        let tip_cap = pooled.transaction.max_priority_fee_per_gas().unwrap_or(fee_cap);
        let sender = pooled.transaction.signer();
        Self { fee_cap, tip_cap: tip_cap.min(fee_cap), arrival: pooled.arrival, sender }
    }

    /// The highest base fee at which the tip cap decides.
    fn switch(&self) -> u128 {
        self.fee_cap - self.tip_cap
    }

    pub(super) fn rank(&self, base_fee: u128) -> Rank {
        let (covers, beyond) = match self.fee_cap.checked_sub(base_fee) {
            Some(beyond) => (true, beyond.min(self.tip_cap)),
            None => (false, self.fee_cap),
        };
        (covers, beyond, Reverse(self.arrival))
    }

    /// Whether it pays more than another, whichever came first.
    pub(super) fn outbids(&self, other: &Self, base_fee: u128) -> bool {
        let price = |offer: &Self| {
            let (covers, beyond, _) = offer.rank(base_fee);
            (covers, beyond, offer.fee_cap, offer.tip_cap)
        };
        price(self) > price(other)
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct PriceIndex {
    base_fee: u128,
    /// Offers whose tip cap binds, by tip cap, later arrivals first.
    by_tip: BTreeMap<(u128, Reverse<u64>), Offer>,
    /// Offers whose fee cap binds, by fee cap, later arrivals first.
    by_fee: BTreeMap<(u128, Reverse<u64>), Offer>,
    /// All offers by the base fee at which they change class.
    switches: BTreeMap<(u128, u64), Offer>,
}

impl PriceIndex {
    pub(super) fn base_fee(&self) -> u128 {
        self.base_fee
    }

    pub(super) fn insert(&mut self, offer: Offer) {
        self.switches.insert((offer.switch(), offer.arrival), offer);
        self.place(offer);
    }

    pub(super) fn remove(&mut self, offer: &Offer) {
        self.switches.remove(&(offer.switch(), offer.arrival));
        if offer.switch() >= self.base_fee {
            self.by_tip.remove(&(offer.tip_cap, Reverse(offer.arrival)));
        } else {
            self.by_fee.remove(&(offer.fee_cap, Reverse(offer.arrival)));
        }
    }

    fn place(&mut self, offer: Offer) {
        if offer.switch() >= self.base_fee {
            self.by_tip.insert((offer.tip_cap, Reverse(offer.arrival)), offer);
        } else {
            self.by_fee.insert((offer.fee_cap, Reverse(offer.arrival)), offer);
        }
    }

    /// Orders by what is paid at this base fee from now on.
    pub(super) fn set_base_fee(&mut self, base_fee: u128) {
        let (low, high) = (base_fee.min(self.base_fee), base_fee.max(self.base_fee));
        let moved: Vec<Offer> =
            self.switches.range((low, 0)..(high, 0)).map(|(_, offer)| *offer).collect();
        for offer in &moved {
            self.by_tip.remove(&(offer.tip_cap, Reverse(offer.arrival)));
            self.by_fee.remove(&(offer.fee_cap, Reverse(offer.arrival)));
        }
        self.base_fee = base_fee;
        for offer in moved {
            self.place(offer);
        }
    }

    /// The offer that pays least; of several the one that came last.
    pub(super) fn worst(&self) -> Option<Offer> {
        let tip = self.by_tip.first_key_value().map(|(_, offer)| *offer);
        let fee = self.by_fee.first_key_value().map(|(_, offer)| *offer);
        tip.into_iter().chain(fee).min_by_key(|offer| offer.rank(self.base_fee))
    }

    /// Offers from the one that pays most downwards, those that came first before those that came
    /// later.
    pub(super) fn descending(&self) -> impl Iterator<Item = Offer> {
        let mut tips = self.by_tip.values().rev().copied().peekable();
        let mut fees = self.by_fee.values().rev().copied().peekable();
        std::iter::from_fn(move || {
            let rank = |offer: &Offer| offer.rank(self.base_fee);
            if tips.peek().map(rank) > fees.peek().map(rank) { tips.next() } else { fees.next() }
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.switches.len(), self.by_tip.len() + self.by_fee.len());
        self.switches.len()
    }
}
