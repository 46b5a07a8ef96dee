//! What the contract of the model knows of a case, and what it does when somebody calls it.

use alloy::primitives::B256;
use tilth_contracts::{AuditOutcome, AuditState, SeatState};
use tilth_verification::arithmetic::{ONE, Share};

use super::{
    view::View,
    words::{Effect, FINAL, Millis, Party, Question, Sealed},
    world::{HOUR, LATER, ROUND, SEAT, World, value},
};

/// One case as the contract has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) state: AuditState,
    pub(super) seat: SeatState,
    /// The auditor's seat, if it has one.
    pub(super) number: Option<u8>,
    pub(super) round: u64,
    /// Whether it is about a leaf in which two providers differ; it will be found that the provider is right.
    pub(super) dispute: bool,
    /// When the dispute was closed that was in its place before.
    judged_at: Option<Millis>,
    deadline: Millis,
    /// The beacon's value; another one after a reorganisation.
    pub(super) beacon: Option<B256>,
    /// Where the provider says that the drawn leaves are.
    pub(super) positions: [u32; 8],
    pub(super) lapses: u8,
    /// Whether nothing that is done about its beacon has an effect.
    pub(super) stuck: bool,
    /// How often its provider is audited.
    pub(super) rate: Share,
    pub(super) block: u64,
    /// Whether its range is settled.
    pub(super) paid: bool,
    pub(super) sealed: Option<Sealed>,
    /// When it was closed.
    pub(super) closed_at: Option<Millis>,
}

impl Chain {
    /// One that has just begun, of a range that was submitted.
    pub(super) fn submitted() -> Self {
        Self {
            state: AuditState::Submitted,
            seat: SeatState::Drawn,
            number: Some(SEAT),
            round: ROUND,
            dispute: false,
            judged_at: None,
            deadline: 0,
            beacon: None,
            positions: [0; 8],
            lapses: 0,
            stuck: false,
            rate: Share::new(ONE.0),
            block: 10,
            paid: false,
            sealed: None,
            closed_at: None,
        }
    }

    /// Nothing is opened in a dispute: its leaf is shown already.
    fn after_commitments(&self) -> AuditState {
        if self.dispute { AuditState::Revealing } else { AuditState::Opening }
    }
}

impl World {
    /// Others move a case on.
    pub(super) fn move_on(&mut self, seq: usize) {
        let case = &mut self.cases[seq];
        case.block += 1;
        let provider = matches!(self.party, Party::Provider(_));
        let auditor = matches!(self.party, Party::Auditor(_));
        let next = match case.state {
            AuditState::Submitted if case.beacon.is_none() => {
                case.beacon = Some(value(case.round));
                return;
            }
            AuditState::Submitted if case.dispute => AuditState::Committing,
            AuditState::Submitted => AuditState::Naming,
            AuditState::Naming if !provider => AuditState::Committing,
            AuditState::Committing if !auditor => case.after_commitments(),
            AuditState::Opening if !provider => AuditState::Revealing,
            AuditState::Revealing if !auditor => AuditState::Closed,
            AuditState::Closed if case.dispute => return self.renew(seq),
            _ => return,
        };
        self.enter(seq, next);
    }

    /// A dispute is concluded: the range's own case takes its place, and nothing is left of the old one.
    pub(super) fn renew(&mut self, seq: usize) {
        let case = &mut self.cases[seq];
        case.judged_at = case.closed_at;
        (case.round, case.number) = (LATER.0, Some(LATER.1));
        (case.dispute, case.beacon, case.lapses, case.positions) = (false, None, 0, [0; 8]);
        (case.seat, case.sealed) = (SeatState::Drawn, None);
        (self.named[seq], self.opened[seq], self.forgotten[seq]) = (false, false, false);
        self.enter(seq, AuditState::Submitted);
    }

    /// The blocks since the submission are gone; others say something else. What was said in them does not count any more.
    pub(super) fn reorganise(&mut self, seq: usize) {
        if self.is_final(seq) {
            return;
        }
        (self.named[seq], self.opened[seq]) = (false, false);
        let now = self.now;
        let case = &mut self.cases[seq];
        // So may be those of the dispute before it.
        if case.judged_at.take_if(|at| now < *at + FINAL).is_some() {
            (case.dispute, case.round, case.number) = (true, ROUND, Some(SEAT));
            case.beacon = Some(value(ROUND));
        }
        let beacon = case.beacon.map(|beacon| B256::from(beacon.0.map(|byte| byte ^ 1)));
        (case.beacon, case.seat, case.sealed) = (beacon, SeatState::Drawn, None);
        self.enter(seq, AuditState::Submitted);
    }

    pub(super) fn enter(&mut self, seq: usize, state: AuditState) {
        let case = &mut self.cases[seq];
        (case.state, case.deadline) = (state, self.now + 2 * HOUR);
        case.closed_at = (state == AuditState::Closed).then_some(self.now);
        if state == AuditState::Committing {
            let beacon = u32::from(case.beacon.unwrap_or_default()[0]);
            case.positions = std::array::from_fn(|i| beacon + u32::try_from(seq + i).unwrap());
        }
    }

    pub(super) fn carry_out(&mut self, seq: usize, case: Chain, effect: &Effect) {
        match (effect, case.state) {
            (Effect::Poke { .. } | Effect::Draw { .. }, _) if case.stuck => {}
            (Effect::Poke { .. }, _) => {
                self.cases[seq].beacon.get_or_insert(value(case.round));
            }
            (Effect::Draw { .. }, AuditState::Submitted) if case.beacon.is_some() => {
                let dispute = case.dispute;
                let next = if dispute { AuditState::Committing } else { AuditState::Naming };
                self.enter(seq, next);
            }
            (Effect::Name { .. }, AuditState::Naming) => {
                self.named[seq] = true;
                self.enter(seq, AuditState::Committing);
            }
            (Effect::Open { positions, .. }, AuditState::Opening)
                if *positions == case.positions =>
            {
                self.opened[seq] = true;
                self.enter(seq, AuditState::Revealing);
            }
            (Effect::Commit { sealed, seat, .. }, AuditState::Committing) => {
                assert_eq!(case.seat, SeatState::Drawn);
                let asked = Question { beacon: case.beacon.unwrap(), positions: case.positions };
                if sealed.question != asked {
                    // Whoever sends it looks once more before: this was decided on before a reorganisation.
                    return;
                }
                assert_eq!(case.number, Some(*seat), "another's seat");
                (self.cases[seq].seat, self.cases[seq].sealed) =
                    (SeatState::Committed, Some(*sealed));
                self.enter(seq, case.after_commitments());
            }
            (Effect::Reveal { sealed, seat, .. }, AuditState::Revealing) => {
                assert_eq!(case.sealed, Some(*sealed), "revealed something else");
                assert_eq!(case.number, Some(*seat), "another's seat");
                self.cases[seq].seat = SeatState::Revealed;
                self.enter(seq, AuditState::Closed);
            }
            _ => {}
        }
    }

    pub(super) fn view(&self, seq: usize, seat: Option<u8>) -> View {
        let case = self.cases[seq];
        let over = case.state == AuditState::Closed;
        View {
            state: case.state,
            outcome: if over { AuditOutcome::Upheld } else { AuditOutcome::Open },
            deadline: case.deadline,
            round: case.round,
            rate: case.rate,
            disputed: case.dispute,
            positions: case.positions,
            seat: seat.and(case.number).map(|number| (number, case.seat)),
            beacon: case.beacon,
            lapses: case.lapses,
            block: case.block,
            now: self.now,
            next: self.now.saturating_add_signed(self.wrong_clock),
            range_over: case.paid,
        }
    }
}
