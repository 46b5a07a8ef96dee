//! A model of the world around the machine, for its tests: the chain, the disk and the other parties.

use alloy::primitives::B256;
use tilth_contracts::AuditState;
use tilth_protocol::{JobId, RangeId};

use super::{
    checks::answer_to,
    contract::Chain,
    machine::Machine,
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
        Self {
            machine: Machine::new(rules(party)),
            party,
            now: START,
            cases: vec![Chain::submitted(); cases],
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
    pub(super) fn is_final(&self, seq: usize) -> bool {
        self.cases[seq].closed_at.is_some_and(|at| self.now >= at + FINAL)
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
