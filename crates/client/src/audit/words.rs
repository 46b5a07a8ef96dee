//! What the machine of audits is told, and what it wants done. Every effect that can end is answered by exactly
//! one event.

use alloy::primitives::B256;
use tilth_contracts::{AuditOutcome, AuditState};
use tilth_protocol::RangeId;
use tilth_verification::{audit::SAMPLES, draw::Seed};

use super::view::View;
use crate::cases::rank;
pub use crate::cases::{FINAL, Millis};

/// Who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client of the job: wants to know what it may pay.
    Client,
    /// The provider with this number.
    Provider(u32),
    /// The auditor with this number.
    Auditor(u32),
}

/// What is fixed for the life of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who we are.
    pub party: Party,
    /// What nobody else is called: whose turn it is with what anybody may do is reckoned from it, anew for every case.
    pub name: B256,
    /// What anybody may do is done within so long, by one after the other.
    pub spread: Millis,
    /// If no block comes for so long while the beacon is awaited, we make one.
    pub poke_after: Millis,
}

/// What a case asks its auditors: what was found holds for nothing else. Both change when a chain is reorganised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The beacon that drew the leaves.
    pub beacon: B256,
    /// Places of the drawn leaves, in the order of the draws.
    pub positions: [u32; SAMPLES as usize],
}

/// What was committed to, and the salt that proves it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What was asked.
    pub question: Question,
    /// What was found: see `verification::audit::answer`.
    pub answer: B256,
    /// 32 bytes that nobody else knows.
    pub salt: B256,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The chain's past has been read up to its head.
    CaughtUp {
        /// The head's number.
        head: u64,
    },
    /// A range waits for its beacon: for the first time, or once more, with a later round, after a dispute.
    Due {
        /// The range.
        range: RangeId,
        /// Number of its provider.
        provider: u32,
        /// The beacon's round, a block number.
        round: u64,
    },
    /// A case is over.
    Closed {
        /// The range.
        range: RangeId,
    },
    /// Something else was said about a case.
    News {
        /// The range.
        range: RangeId,
    },
    /// An auditor was drawn.
    Seated {
        /// The range.
        range: RangeId,
        /// The auditor's number.
        auditor: u32,
        /// Its seat.
        seat: u8,
    },
    /// A look has ended. Ends [`Effect::Look`].
    Looked {
        /// The range.
        range: RangeId,
        /// What was seen; `None`: the chain did not answer.
        view: Option<Box<View>>,
    },
    /// A move has ended, carried out or not. Ends every effect that names no other event.
    Ended {
        /// The range.
        range: RangeId,
        /// Whether it was carried out.
        done: bool,
    },
    /// The drawn leaves were executed. Ends [`Effect::Examine`], or else [`Event::Ended`] does.
    Examined {
        /// The range.
        range: RangeId,
        /// What was asked.
        question: Question,
        /// What was found.
        answer: B256,
    },
    /// A seal is on disk: from an earlier life, or as the end of [`Effect::Seal`] or [`Effect::Recall`] (or else
    /// [`Event::Ended`]).
    Sealed {
        /// The range.
        range: RangeId,
        /// Our seat.
        seat: u8,
        /// The seal.
        sealed: Sealed,
    },
    /// The time that [`Machine::next_wake`](super::Machine::next_wake) named has come.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read a case from the chain. Ends with `Looked`.
    Look {
        /// The range.
        range: RangeId,
        /// Where we have sat last, in this case of it or in one before, if we have.
        seat: Option<u8>,
    },
    /// Have the beacon's round noted, which also makes a block where there are none without transactions.
    Poke {
        /// The range.
        range: RangeId,
        /// The round.
        round: u64,
    },
    /// Have it decided whether a range is audited, and by whom.
    Draw {
        /// The range.
        range: RangeId,
    },
    /// Go on without those who are late.
    Advance {
        /// The range.
        range: RangeId,
    },
    /// As its provider: say at which positions the drawn leaves are.
    Name {
        /// The range.
        range: RangeId,
        /// Where the draws come from.
        seed: Seed,
    },
    /// As its provider: open the drawn leaves.
    Open {
        /// The range.
        range: RangeId,
        /// Their positions, in the order of the draws.
        positions: [u32; SAMPLES as usize],
    },
    /// As an auditor: get the job ready, for it will be executed as soon as the leaves are named.
    Prepare {
        /// The range.
        range: RangeId,
    },
    /// As an auditor: execute the drawn leaves. Ends with `Examined` or `Ended`.
    Examine {
        /// The range.
        range: RangeId,
        /// Which leaves, of what.
        question: Question,
        /// How long an answer is of use.
        left: Millis,
    },
    /// As an auditor: put the answer and a salt on disk. Ends with `Sealed` or `Ended`.
    Seal {
        /// The range.
        range: RangeId,
        /// Our seat.
        seat: u8,
        /// What was asked.
        question: Question,
        /// What was found.
        answer: B256,
    },
    /// As an auditor: look for a seal on disk that ought to be there. Ends with `Sealed` or `Ended`.
    Recall {
        /// The range.
        range: RangeId,
        /// Our seat.
        seat: u8,
        /// What was asked.
        question: Question,
    },
    /// As an auditor: commit.
    Commit {
        /// The range.
        range: RangeId,
        /// Our seat.
        seat: u8,
        /// What to.
        sealed: Sealed,
    },
    /// As an auditor: show what was committed to.
    Reveal {
        /// The range.
        range: RangeId,
        /// Our seat.
        seat: u8,
        /// What was committed to.
        sealed: Sealed,
    },
    /// A case stands otherwise than before. Ends by itself.
    Show {
        /// The range.
        range: RangeId,
        /// How.
        standing: Standing,
    },
    /// We have nothing more to do with a case; its seal can go. Ends by itself.
    Forget {
        /// The range.
        range: RangeId,
    },
}

impl Effect {
    /// The range it is about.
    pub fn range(&self) -> RangeId {
        match self {
            Self::Look { range, .. }
            | Self::Poke { range, .. }
            | Self::Draw { range }
            | Self::Advance { range }
            | Self::Name { range, .. }
            | Self::Open { range, .. }
            | Self::Prepare { range }
            | Self::Examine { range, .. }
            | Self::Recall { range, .. }
            | Self::Seal { range, .. }
            | Self::Commit { range, .. }
            | Self::Reveal { range, .. }
            | Self::Show { range, .. }
            | Self::Forget { range } => *range,
        }
    }
}

/// How a case stands, for people and for whoever pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the contract says.
    Open(AuditState),
    /// One leaf of it is disputed, as the contract says. `Closed`: its provider is right in it, and the range's own audit is
    /// still to come.
    Disputed(AuditState),
    /// The beacon did not draw it.
    NotDrawn,
    /// It is over.
    Over(AuditOutcome),
}

impl Standing {
    /// Whether auditors are still to find out by themselves what the results are.
    pub fn is_blind(self) -> bool {
        match self {
            Self::Open(AuditState::Revealing) | Self::NotDrawn | Self::Over(_) => false,
            // After a dispute come auditors who have not seen the range.
            Self::Open(_) | Self::Disputed(_) => true,
        }
    }

    /// Whether the range may be paid.
    pub fn may_be_paid(self) -> bool {
        matches!(self, Self::NotDrawn | Self::Over(AuditOutcome::Upheld | AuditOutcome::Unaudited))
    }
}

impl Rules {
    /// Our place among all who may do the next thing in a case: any number, another one for every case and step.
    pub(super) fn rank(&self, range: RangeId, round: u64, state: AuditState) -> u64 {
        rank(self.name, range, round, state.into())
    }
}
