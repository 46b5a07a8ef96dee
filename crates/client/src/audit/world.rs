//! A model of the contract and of the other parties, for tests of the machine.

use alloy::primitives::B256;
use tilth_contracts::{AuditOutcome, AuditState, SeatState};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::arithmetic::{ONE, Share};

use super::{
    checks::answer_to,
    machine::Machine,
    view::View,
    words::{Effect, Event, FINAL, Millis, Party, Question, Rules, Sealed, Standing},
};

pub(super) const START: Millis = 1_790_000_000_000;
/// The beacon's round of all cases that are the first of their range.
pub(super) const ROUND: u64 = 12;
/// The auditor's seat in them.
pub(super) const SEAT: u8 = 1;
/// And of those that follow a dispute.
pub(super) const LATER: (u64, u8) = (ROUND + 20, SEAT + 2);
pub(super) const HOUR: Millis = 3_600_000;
/// From one block's news to the next.
const BLOCK: Millis = 1_000;

pub(super) fn range(seq: u32) -> RangeId {
    RangeId { job: JobId(1), seq }
}

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
    sealed: Option<Sealed>,
    /// When it was closed.
    closed_at: Option<Millis>,
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) party: Party,
    pub(super) now: Millis,
    pub(super) cases: Vec<Chain>,
    pub(super) under_way: Vec<Effect>,
    pub(super) caught_up: bool,
    /// What is on disk.
    pub(super) seals: Vec<Vec<Sealed>>,
    pub(super) forgotten: Vec<bool>,
    /// What was last said of each to people.
    pub(super) shown: Vec<Option<Standing>>,
    /// Whether the provider has named and opened.
    pub(super) named: Vec<bool>,
    pub(super) opened: Vec<bool>,
    /// How far our clock is ahead of the chain's, milliseconds.
    pub(super) wrong_clock: i64,
}

impl World {
    pub(super) fn new(party: Party, cases: usize) -> Self {
        let case = Chain {
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
        };
        Self {
            machine: Machine::new(rules(party)),
            party,
            now: START,
            cases: vec![case; cases],
            under_way: Vec::new(),
            caught_up: false,
            seals: vec![Vec::new(); cases],
            forgotten: vec![false; cases],
            shown: vec![None; cases],
            named: vec![false; cases],
            opened: vec![false; cases],
            wrong_clock: 0,
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.caught_up |= matches!(event, Event::CaughtUp { .. });
        for effect in self.machine.step(event, self.now) {
            self.check(&effect);
            match effect {
                Effect::Show { range, standing } => self.shown[range.seq as usize] = Some(standing),
                Effect::Forget { range } => {
                    let seq = range.seq as usize;
                    let waits = self.cases[seq].dispute && !matches!(self.party, Party::Auditor(_));
                    assert!(!waits, "gave up a range that is still to be audited");
                    assert!(
                        self.is_final(seq) || self.seals[seq].is_empty(),
                        "forgot what it must show"
                    );
                    self.forgotten[seq] = true;
                }
                effect => self.under_way.push(effect),
            }
        }
        let wake = self.machine.next_wake();
        assert!(wake.is_none_or(|wake| wake > self.now), "wakes in the past");
        assert!(self.machine.cases().next().is_some() || wake.is_none(), "wakes for nothing");
    }

    /// Whether a case is closed for so long that nothing takes that back.
    fn is_final(&self, seq: usize) -> bool {
        self.cases[seq].closed_at.is_some_and(|at| self.now >= at + FINAL)
    }

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

    /// What the logs of a case say that is not over.
    pub(super) fn announce(&mut self, seq: usize) {
        let Chain { round, number, .. } = self.cases[seq];
        self.tell(Event::Due { range: at(seq), provider: 5, round });
        if let Some(seat) = number {
            self.tell(Event::Seated { range: at(seq), auditor: 4, seat });
        }
    }

    /// What they have said of the case before it, if there was one.
    pub(super) fn repeat(&mut self, seq: usize) {
        if self.cases[seq].round != ROUND {
            self.tell(Event::Due { range: at(seq), provider: 5, round: ROUND });
            self.tell(Event::Seated { range: at(seq), auditor: 4, seat: SEAT });
            self.tell(Event::Closed { range: at(seq) });
        }
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

    /// What is under way ends; `done`: as it should.
    pub(super) fn end(&mut self, at: usize, done: bool) {
        let effect = self.under_way.swap_remove(at);
        let of = effect.range();
        let seq = of.seq as usize;
        let case = self.cases[seq];
        let event = match effect {
            Effect::Look { seat, .. } => {
                Event::Looked { range: of, view: done.then(|| Box::new(self.view(seq, seat))) }
            }
            _ if !done => Event::Ended { range: of, done },
            Effect::Examine { question, .. } => {
                Event::Examined { range: of, question, answer: answer_to(question) }
            }
            Effect::Seal { answer, question, seat, .. } => {
                let salt = B256::repeat_byte(u8::try_from(seq).unwrap());
                let sealed = Sealed { question, answer, salt };
                self.seals[seq].push(sealed);
                Event::Sealed { range: of, seat, sealed }
            }
            Effect::Recall { question, seat, .. } => {
                let mut seals = self.seals[seq].iter();
                match seals.find(|sealed| sealed.question == question) {
                    Some(sealed) => Event::Sealed { range: of, seat, sealed: *sealed },
                    None => Event::Ended { range: of, done: false },
                }
            }
            effect => {
                self.carry_out(seq, case, &effect);
                Event::Ended { range: of, done }
            }
        };
        self.tell(event);
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

    /// Puts on disk what answers the case as it is.
    pub(super) fn seal(&mut self, seq: usize) -> Sealed {
        let case = &self.cases[seq];
        let question =
            Question { beacon: case.beacon.unwrap_or_default(), positions: case.positions };
        let salt = B256::repeat_byte(5);
        let sealed = Sealed { question, answer: answer_to(question), salt };
        self.seals[seq].push(sealed);
        self.cases[seq].sealed = Some(sealed);
        sealed
    }

    /// The agent is killed and started again: what is on disk and on chain stays.
    pub(super) fn restart(&mut self) {
        let Self { party, now, .. } = *self;
        self.machine = Machine::new(rules(party));
        (self.under_way, self.caught_up) = (Vec::new(), false);
        self.now = now + 1;
        for seq in 0..self.cases.len() {
            if !self.forgotten[seq] {
                for sealed in self.seals[seq].clone() {
                    self.tell(Event::Sealed { range: at(seq), seat: SEAT, sealed });
                }
            }
        }
        self.introduce();
    }

    pub(super) fn introduce(&mut self) {
        for seq in 0..self.cases.len() {
            self.repeat(seq);
            self.announce(seq);
            if self.cases[seq].state == AuditState::Closed {
                self.tell(Event::Closed { range: at(seq) });
            }
        }
        self.tell(Event::CaughtUp { head: self.cases[0].block });
    }

    /// Others move a case on, and logs say so.
    pub(super) fn go_on(&mut self, seq: usize) {
        let before = self.cases[seq].round;
        self.move_on(seq);
        if self.cases[seq].round == before {
            self.tell(Event::News { range: at(seq) });
        } else {
            self.announce(seq);
        }
    }

    /// Everything works and time passes.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            while let Some(last) = self.under_way.len().checked_sub(1) {
                self.end(last, true);
            }
            for seq in 0..self.cases.len() {
                let Chain { state, dispute, .. } = self.cases[seq];
                if state != AuditState::Closed || dispute {
                    self.go_on(seq);
                }
            }
            // While it looks there is no time to wake at, and news has it look at once; time passes nevertheless.
            self.now = self.machine.next_wake().unwrap_or(self.now + BLOCK);
            self.tell(Event::Tick);
        }
    }
}

impl Chain {
    /// Nothing is opened in a dispute: its leaf is shown already.
    fn after_commitments(&self) -> AuditState {
        if self.dispute { AuditState::Revealing } else { AuditState::Opening }
    }
}

/// The beacon's value of a round.
pub(super) fn value(round: u64) -> B256 {
    let later = u8::try_from(round - ROUND).unwrap();
    B256::repeat_byte(9 ^ later)
}

pub(super) fn rules(party: Party) -> Rules {
    Rules { party, name: B256::repeat_byte(6), spread: 1_400, poke_after: 1_000 }
}

pub(super) fn at(seq: usize) -> RangeId {
    range(u32::try_from(seq).unwrap())
}
