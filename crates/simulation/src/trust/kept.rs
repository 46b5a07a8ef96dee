//! What is known of a kept job and its ranges by logs: the deposit, and each range's asks.

use alloy_primitives::Address;
use tilth_contracts::HoldState;
use tilth_protocol::RangeId;
use tilth_verification::{
    arithmetic::ONE,
    holding::{HOLD_TIME_S, HOLDERS, NOT_HELD, Prices, open_draws},
};

use super::{
    cast::least_fee,
    mind::{Conduct, Service},
    scene::Scene,
};

/// After its time something is done within so long, seconds: everybody looks four times a minute, and some take turns.
pub(super) const LATE: u64 = 300;

/// An auditor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) who: Address,
    pub(super) conduct: Conduct,
    /// What it has at stake, base units.
    pub(super) stake: u128,
}

impl Holder {
    /// Whether it signs for what is served so.
    pub(super) fn signs(&self, service: Service) -> bool {
        match self.conduct {
            Conduct::Fetches => service != Service::Nobody,
            Conduct::Lies => true,
            Conduct::Absent => false,
        }
    }
}

/// What became of a job's deposit, base units.
#[derive(Debug, Default)]
pub(super) struct Deposit {
    pub(super) prices: Option<Prices>,
    pub(super) funded: u128,
    pub(super) fees: u128,
    pub(super) closed: u128,
    /// What open asks may still cost.
    pub(super) reserved: u128,
}

impl Deposit {
    pub(super) fn left(&self) -> u128 {
        self.funded.saturating_sub(self.fees).saturating_sub(self.closed)
    }

    /// What a vote for so much content earns.
    pub(super) fn fee(&self, mib: u32) -> u128 {
        self.prices.map_or(0, |prices| prices.fee(least_fee(), mib))
    }

    /// Whether it does not pay for holding one more range.
    pub(super) fn is_waived(&self) -> bool {
        let free = self.left().saturating_sub(self.reserved);
        self.prices.is_none_or(|prices| free < prices.cost(least_fee(), prices.max_mib))
    }

    /// An ask of this size with so many votes is over.
    pub(super) fn release(&mut self, mib: u32, votes: usize) {
        let left = HOLDERS.saturating_sub(votes) as u128;
        self.reserved = self.reserved.saturating_sub(left * self.fee(mib));
    }
}

/// What was seen of a range.
#[derive(Debug)]
pub(super) struct Seen {
    /// Stakes of all auditors in the second before its submission.
    pub(super) line: Vec<u128>,
    /// From when on it may be asked for, by the chain's clock, seconds, as all times here.
    pub(super) window_end: u64,
    pub(super) state: HoldState,
    pub(super) asked: u8,
    pub(super) asked_at: u64,
    pub(super) round: u64,
    pub(super) mib: u32,
    /// Since when it may be signed for; 0: not yet.
    pub(super) from: u64,
    /// Whom the draws name.
    pub(super) named: Vec<u32>,
    /// The chance, billionths, that enough of them sign.
    pub(super) chance: u32,
    pub(super) bits: u16,
    /// Votes of the ask before.
    pub(super) spent: usize,
    /// When it was paid or rejected.
    pub(super) over_at: Option<u64>,
}

impl Seen {
    pub(super) fn new(line: Vec<u128>, window_end: u64) -> Self {
        Self {
            line,
            window_end,
            state: HoldState::None,
            asked: 0,
            asked_at: 0,
            round: 0,
            mib: 0,
            from: 0,
            named: Vec::new(),
            chance: 0,
            bits: 0,
            spent: 0,
            over_at: None,
        }
    }

    pub(super) fn votes(&self) -> usize {
        self.bits.count_ones() as usize
    }

    /// How many draws may sign now.
    pub(super) fn open(&self, time: u64) -> usize {
        open_draws(time.saturating_sub(self.from))
    }

    /// Whether an ask that too few have signed ends now as it should: when all its time is over and soon after, or because
    /// nobody has kept the beacon.
    pub(super) fn has_run_out(&self, time: u64) -> bool {
        let end = self.from + 2 * HOLD_TIME_S;
        match self.state {
            HoldState::Asked => true,
            HoldState::Open => time > end && time <= end + LATE,
            _ => false,
        }
    }
}

/// Whether it is what nobody's holding a range costs its provider: a part of the range's value, up to how finely shares of a stake
/// are told apart.
pub(super) fn is_due(id: RangeId, cut: u128, scene: &Scene) -> bool {
    let units = scene.handed.get(&id).map_or(0, |handed| handed.units);
    let price = scene.public.ranges.get(&id).map_or(0, |facts| facts.price);
    let due = u128::from(units) * price * u128::from(NOT_HELD.0) / u128::from(ONE.0);
    (due..=due + due / 1_000 + 1).contains(&cut)
}
