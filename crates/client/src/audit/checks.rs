//! What the world asserts about every effect when it is asked for.

use alloy::primitives::B256;
use tilth_contracts::{AuditState, SeatState};

use super::{
    words::{Effect, Party, Question},
    world::World,
};

impl World {
    pub(super) fn check(&self, effect: &Effect) {
        assert!(self.caught_up, "{effect:?} before the past is known");
        let of = effect.range();
        if let Effect::Show { standing, .. } = effect {
            let early = standing.may_be_paid() || !standing.is_blind();
            let dispute = self.cases[of.seq as usize].dispute;
            assert!(!(early && dispute), "{standing:?}, and its audit is still to come");
        }
        if matches!(effect, Effect::Show { .. } | Effect::Forget { .. }) {
            return;
        }
        let busy = self.under_way.iter().any(|other| other.range() == of);
        assert!(!busy, "two things at a time: {effect:?} beside {:?}", self.under_way);
        let seals = &self.seals[of.seq as usize];
        match effect {
            Effect::Commit { sealed, .. } | Effect::Reveal { sealed, .. } => {
                assert!(seals.contains(sealed), "said something that is not on disk");
                assert_eq!(sealed.answer, answer_to(sealed.question), "answers something else");
            }
            Effect::Seal { question, .. } => {
                let known = seals.iter().any(|sealed| sealed.question == *question);
                assert!(!known, "sealed twice");
            }
            Effect::Advance { .. } => {
                let case = &self.cases[of.seq as usize];
                // What is acted on was seen in the same moment, so the case is as the machine knows it.
                let silent = match self.party {
                    Party::Client => false,
                    Party::Provider(_) => {
                        matches!(case.state, AuditState::Naming | AuditState::Opening)
                    }
                    Party::Auditor(_) => matches!(
                        (case.state, case.seat),
                        (AuditState::Committing, SeatState::Drawn)
                            | (AuditState::Revealing, SeatState::Committed)
                    ),
                };
                assert!(!silent, "called for its own punishment");
            }
            _ => {}
        }
    }
}

/// What an honest auditor finds.
pub(super) fn answer_to(question: Question) -> B256 {
    let mut answer = question.beacon;
    answer[31] = question.positions[0].to_le_bytes()[0];
    answer
}
