//! One case as a party knows it, and how it stands.

use alloy::primitives::B256;
use tilth_contracts::AuditState;
use tilth_protocol::RangeId;
use tilth_verification::{
    audit::{Decision, decide},
    draw::Seed,
};

use super::{
    tried::Mark,
    view::View,
    words::{Millis, Question, Sealed, Standing},
};
use crate::cases::{Course, Since, Turn};

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) course: Course<View, Mark>,
    /// Where we have sat last, as far as we have heard.
    pub(super) seat: Option<u8>,
    /// The beacon's round, as far as a log has said it: the latest.
    pub(super) round: Option<u64>,
    /// The round of the case that was seen last. A range that was disputed has two, one after the other.
    seen: Option<u64>,
    /// Whether another case has begun in which we have no seat yet.
    pub(super) renewed: bool,
    pub(super) prepared: bool,
    pub(super) answer: Option<(Question, B256)>,
    /// All that was ever sealed, each for another question.
    pub(super) sealed: Vec<Sealed>,
    pub(super) shown: Option<Standing>,
    /// The head when the beacon was found missing, and since when it is that.
    pub(super) head: Since<u64>,
    pub(super) draws: Turn,
    /// The head when it was first seen that the range is not audited, and when that was.
    pub(super) spared: Option<(u64, Millis)>,
    /// How often logs have said that it begins, and how many of these ends were in what was read of the past: a range that was
    /// disputed has two.
    begun: u32,
    ended: u32,
}

impl Case {
    /// A case is said to wait for its beacon. A log that a node did not have comes after later ones, so that of a dispute may be
    /// heard when the range's own has begun: it takes nothing back, and is one more reason to look.
    pub(super) fn begin(&mut self, round: u64) {
        self.begun = self.begun.saturating_add(1);
        if let Some(known) = self.round {
            self.course.hear();
            if round < known {
                return;
            }
            self.renewed |= round > known;
        }
        self.round = Some(round);
    }

    /// What is read of the past says that a case is over: whether it is the last that has begun.
    pub(super) fn conclude(&mut self) -> bool {
        // Of one whose beginning was not read nothing is left to be counted.
        if self.ended < self.begun {
            self.ended = self.ended.saturating_add(1);
        }
        self.is_past()
    }

    /// Whether all that has begun was over in what was read of the past.
    pub(super) fn is_past(&self) -> bool {
        self.ended >= self.begun
    }

    /// The chain shows a case, maybe another one than before. Of the old one only what was sealed is kept, which is told
    /// apart by what it answers.
    pub(super) fn meet(&mut self, view: &View) {
        if view.state == AuditState::None {
            return;
        }
        if self.seen.replace(view.round).is_some_and(|seen| seen != view.round) {
            (self.prepared, self.answer, self.shown) = (false, None, None);
            (self.head, self.draws, self.spared) = (Since::default(), Turn::default(), None);
            self.course.renew();
        }
        if view.seat.is_some() && self.round.is_none_or(|round| view.round >= round) {
            self.renewed = false;
        }
    }

    /// Whether we lose something if nothing is done.
    pub(super) fn is_ours(&self) -> bool {
        self.seat.is_some() || !self.sealed.is_empty()
    }

    /// Whether that is so in the case that is open now, for an auditor.
    pub(super) fn is_seated(&self) -> bool {
        let judged = self.shown == Some(Standing::Disputed(AuditState::Closed));
        self.is_ours() && !self.renewed && !judged
    }
}

/// Whether the beacon does not draw the range. A value that somebody may have waited for spares nobody.
pub(super) fn is_spared(range: RangeId, beacon: B256, view: &View) -> bool {
    view.lapses == 0 && decide(Seed::new(beacon, range, 0), view.rate) == Decision::Unaudited
}

/// How a case stands, if the chain knows of it.
pub(super) fn stands(range: RangeId, view: &View) -> Option<Standing> {
    match (view.state, view.beacon) {
        (AuditState::None, _) => None,
        (AuditState::Closed, _) if view.is_followed() => {
            Some(Standing::Disputed(AuditState::Closed))
        }
        (AuditState::Closed, _) => Some(Standing::Over(view.outcome)),
        (AuditState::Submitted, Some(beacon)) if is_spared(range, beacon, view) => {
            Some(Standing::NotDrawn)
        }
        // A verdict closes its case, and else only what is not drawn is paid. The beacon that said so may be forgotten.
        (AuditState::Submitted, _) if view.range_over => Some(Standing::NotDrawn),
        (state, _) if view.disputed => Some(Standing::Disputed(state)),
        (state, _) => Some(Standing::Open(state)),
    }
}
