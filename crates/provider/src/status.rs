//! What a provider shows of itself.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::Address;
use serde::Serialize;
use tilth_protocol::{Contact, JobId, RangeId};

pub use crate::bookmark::Totals;
use crate::{
    idle::Reason,
    machine::{Unfit, Wait},
};

/// A provider at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The owner account, the provider's name on chain.
    pub owner: Address,
    /// The key that claims and submits.
    pub node: Address,
    /// Where its content is served.
    pub contact: Contact,
    /// What each slot does.
    pub slots: Vec<SlotStatus>,
    /// Ranges claimed and not yet submitted.
    pub held: usize,
    /// Ranges submitted and not yet settled, and those done as mates.
    pub unsettled: usize,
    /// Ranges that it was drawn for as mate and that are not done: each is to be committed to in a quarter of an hour for
    /// every one that it owed when it was drawn, an hour at most, and costs a tenth of its value if it is late.
    pub mates: usize,
    /// Replicated jobs in which it waits to be drawn.
    pub lines: usize,
    /// Those in which it does not any more, but ranges of before can still draw it: an hour at most, and as long as it
    /// has one.
    pub bonds: usize,
    /// Jobs it works on or could work on.
    pub jobs: usize,
    /// What its work has brought since it was set up.
    pub totals: Totals,
    /// The chain, as seen from here.
    pub chain: ChainStatus,
    /// Whether it takes no more work.
    pub draining: bool,
    /// Why it does not work for others now; empty: it does.
    pub rests: Vec<Reason>,
    /// What its rules ask about and this system does not let it see, with what to do about it.
    pub unseen: Vec<String>,
    /// Bytes that its content takes on disk.
    pub stored_bytes: u64,
    /// Whether that is nearly all it may take, so that no new work is taken.
    pub crowded: bool,
    /// Its ranges whose audits are open: to be away for half an hour costs the stake. `None` until that is known.
    pub audits: Option<usize>,
    /// Replicated ranges that are open, of which it is provider or mate. Those that are among `mates` are not committed to;
    /// to be away for half an hour costs the stake for the others. `None` until that is known.
    pub replicas: Option<usize>,
    /// Its kept ranges that are handed in and not held yet: to be away for some hours costs twice what they were charged for
    /// audits and a tenth of their value.
    pub kept: Option<usize>,
    /// Open jobs that it would work on, by what they wait for.
    pub waiting: BTreeMap<Wait, usize>,
    /// Open jobs that it leaves alone, by why.
    pub ignored: BTreeMap<Unfit, usize>,
    /// Questions under way whose answer may bring work.
    pub(crate) pending: usize,
    /// Of the ranges held, those that stand still for as long as the owner has the machine.
    pub(crate) still: usize,
    /// Whether the chain's past has been read. `chain` does not say so while the chain is away.
    pub(crate) known: bool,
}

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "doing")]
pub enum SlotStatus {
    /// Nothing.
    Idle,
    /// One task, to know the speed.
    Calibrating {
        /// The job.
        job: JobId,
    },
    /// A range.
    Running {
        /// The range.
        range: RangeId,
        /// Unix milliseconds of its start.
        since_ms: u64,
    },
}

/// The chain, as seen by a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainStatus {
    /// The past is being read; no work is taken yet.
    Reading,
    /// Up to date.
    Here,
    /// It does not answer.
    Away,
}

impl Status {
    /// Whether everything that was begun is delivered and paid. What an earlier life has begun is known when the chain's
    /// past has been read.
    pub fn is_at_rest(&self) -> bool {
        self.known
            && self.held == 0
            && self.pending == 0
            && self.unsettled == 0
            && self.mates == 0
            && self.lines == 0
            && self.bonds == 0
    }

    /// Whether everything that was begun is delivered; it may not be paid yet. What stands still because the owner has
    /// the machine is not waited for: nobody knows for how long.
    ///
    /// Nobody can give back what it was drawn for as mate, so that is waited for, too, unless the owner has the machine.
    pub fn is_delivered(&self) -> bool {
        let mates = self.mates == 0 || !self.rests.is_empty();
        // Nothing can be left while the chain is away.
        let lines = self.lines == 0 || self.chain == ChainStatus::Away;
        self.held <= self.still && self.pending == 0 && lines && mates
    }
}

impl Status {
    /// A provider that has just been started.
    pub(crate) fn begun(owner: Address, node: Address, contact: Contact, slots: u16) -> Self {
        Self {
            owner,
            node,
            contact,
            slots: vec![SlotStatus::Idle; usize::from(slots)],
            held: 0,
            unsettled: 0,
            mates: 0,
            lines: 0,
            bonds: 0,
            jobs: 0,
            totals: Totals::default(),
            chain: ChainStatus::Reading,
            draining: false,
            rests: Vec::new(),
            unseen: Vec::new(),
            stored_bytes: 0,
            crowded: false,
            audits: None,
            kept: None,
            replicas: None,
            waiting: BTreeMap::new(),
            ignored: BTreeMap::new(),
            pending: 0,
            still: 0,
            known: false,
        }
    }
}

/// How long tasks may take to stop; they stop at their next await point.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn who_stops_waits_for_what_can_still_be_delivered() {
        let mut status = sample();
        assert!(status.is_delivered() && !status.is_at_rest(), "who knows what was begun before?");
        status.chain = ChainStatus::Away;
        assert!(!status.is_at_rest(), "nor does anybody while the chain is away");
        status.known = true;
        assert!(status.is_delivered() && status.is_at_rest());
        (status.held, status.still) = (2, 1);
        assert!(!status.is_delivered());
        (status.held, status.unsettled) = (1, 3);
        assert!(status.is_delivered() && !status.is_at_rest());
        status.unsettled = 0;
        assert!(!status.is_at_rest(), "it is not done");
        (status.held, status.still, status.pending) = (0, 0, 1);
        assert!(!status.is_delivered() && !status.is_at_rest());
        (status.pending, status.lines, status.chain) = (0, 1, ChainStatus::Here);
        assert!(!status.is_delivered() && !status.is_at_rest(), "it can be drawn any time");
        (status.lines, status.bonds) = (0, 1);
        assert!(status.is_delivered() && !status.is_at_rest(), "it hardly can");
        (status.bonds, status.mates) = (0, 1);
        assert!(!status.is_delivered() && !status.is_at_rest());
        status.rests = vec![Reason::Paused];
        assert!(status.is_delivered() && !status.is_at_rest());
    }

    /// A provider that has just been started.
    pub(crate) fn sample() -> Status {
        let contact = Contact { endpoint: [0; 32], addresses: Vec::new() };
        Status::begun(Address::ZERO, Address::ZERO, contact, 1)
    }
}
