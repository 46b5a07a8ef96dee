//! What a provider shows of itself.

use std::time::Duration;

use alloy_primitives::Address;
use serde::Serialize;
use tilth_protocol::{Contact, JobId, RangeId};

pub use crate::bookmark::Totals;
use crate::idle::Reason;

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
    /// Ranges submitted and not yet settled.
    pub unsettled: usize,
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
    /// Questions under way whose answer may bring work.
    pub(crate) pending: usize,
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
    /// Whether everything that was begun is delivered and paid.
    pub fn is_at_rest(&self) -> bool {
        self.is_delivered() && self.unsettled == 0
    }

    /// Whether everything that was begun is delivered; it may not be paid yet.
    pub fn is_delivered(&self) -> bool {
        self.held == 0 && self.pending == 0
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
            jobs: 0,
            totals: Totals::default(),
            chain: ChainStatus::Reading,
            draining: false,
            rests: Vec::new(),
            unseen: Vec::new(),
            stored_bytes: 0,
            pending: 0,
        }
    }
}

/// How long tasks may take to stop; they stop at their next await point.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A provider that has just been started.
    pub(crate) fn sample() -> Status {
        let contact = Contact { endpoint: [0; 32], addresses: Vec::new() };
        Status::begun(Address::ZERO, Address::ZERO, contact, 1)
    }
}
