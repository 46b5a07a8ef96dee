//! A model of the contract and of the other parties, for tests of the machine.

use alloy::primitives::B256;
use tilth_contracts::{ReplicaOutcome, ReplicaState};
use tilth_protocol::{JobId, RangeId, Tally};
use tilth_verification::{
    replica::Found,
    walk::{Node, Place},
};

use super::{
    machine::Machine,
    view::View,
    words::{Effect, Event, Part, Party, Role, Rules, Standing},
};
use crate::audit::{FINAL, Millis};

pub(super) const START: Millis = 1_790_000_000_000;
/// The beacon's round of all ranges.
pub(super) const ROUND: u64 = 12;
/// Numbers of the ranges' provider and of the mate.
pub(super) const PRIMARY: u32 = 5;
pub(super) const MATE: u32 = 4;
pub(super) const HOUR: Millis = 3_600_000;
/// From one block's news to the next.
const BLOCK: Millis = 1_000;

/// One replica as the contract has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) state: ReplicaState,
    pub(super) outcome: ReplicaOutcome,
    pub(super) due: Millis,
    /// The range's tasks; others after a reorganisation.
    pub(super) part: Part,
    pub(super) mate: u32,
    pub(super) shown: u8,
    pub(super) beacon: Option<B256>,
    pub(super) lapses: u8,
    pub(super) block: u64,
    /// What the mate has committed to.
    pub(super) committed: Option<Found>,
    /// Where a walk is.
    pub(super) at: Place,
    /// Whether auditors have decided about a leaf.
    pub(super) decided: bool,
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
    pub(super) forgotten: Vec<bool>,
    /// What was last said of each to people.
    pub(super) shown: Vec<Option<Standing>>,
    /// How far our clock is ahead of the chain's, milliseconds.
    pub(super) wrong_clock: i64,
    /// Whether the two of a range find different things.
    pub(super) at_odds: bool,
    /// What comes of the dispute of each.
    pub(super) verdicts: Vec<ReplicaOutcome>,
}

/// What comes of a dispute: the primary of every other range is wrong, which ends the range with the verdict. The others' are
/// right, and an audit of their own is still to come when the replica is closed.
pub(super) fn verdict(seq: usize) -> ReplicaOutcome {
    if seq.is_multiple_of(2) { ReplicaOutcome::Alone } else { ReplicaOutcome::Unequal }
}

impl World {
    pub(super) fn new(party: Party, cases: usize) -> Self {
        let case = Chain {
            state: ReplicaState::Sealed,
            outcome: ReplicaOutcome::Open,
            due: START + HOUR,
            part: Part { from: 8, count: 4 },
            mate: 0,
            shown: 0,
            beacon: None,
            lapses: 0,
            block: 10,
            committed: None,
            at: Place::default(),
            decided: false,
            closed_at: None,
        };
        Self {
            machine: Machine::new(rules(party)),
            party,
            now: START,
            cases: vec![case; cases],
            under_way: Vec::new(),
            caught_up: false,
            forgotten: vec![false; cases],
            shown: vec![None; cases],
            wrong_clock: 0,
            at_odds: false,
            verdicts: (0..cases).map(verdict).collect(),
        }
    }

    /// Ranges of 300 tasks, three steps deep, of which the two find different things.
    pub(super) fn at_odds(party: Party, cases: usize) -> Self {
        let mut world = Self::new(party, cases);
        world.at_odds = true;
        world.cases.iter_mut().for_each(|case| case.part.count = 300);
        world
    }

    pub(super) fn is(&self, role: Role) -> bool {
        match role {
            Role::Primary => self.party == Party::Provider(PRIMARY),
            Role::Mate => self.party == Party::Provider(MATE),
            Role::Anybody => self.party == Party::Client,
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
                    assert!(self.is_final(seq) || self.is(Role::Anybody), "forgot its duty");
                    self.forgotten[seq] = true;
                }
                effect => self.under_way.push(effect),
            }
        }
        let wake = self.machine.next_wake();
        assert!(wake.is_none_or(|wake| wake > self.now), "wakes in the past");
        assert!(self.machine.cases().next().is_some() || wake.is_none(), "wakes for nothing");
    }

    /// Whether a replica is closed for so long that nothing takes that back.
    fn is_final(&self, seq: usize) -> bool {
        self.cases[seq].closed_at.is_some_and(|at| self.now >= at + FINAL)
    }

    /// Others move a replica on.
    pub(super) fn move_on(&mut self, seq: usize) {
        let (primary, mate) = (self.is(Role::Primary), self.is(Role::Mate));
        let case = &mut self.cases[seq];
        case.block += 1;
        match case.state {
            ReplicaState::Sealed if case.beacon.is_none() => {
                case.beacon = Some(B256::repeat_byte(9));
            }
            ReplicaState::Sealed => self.draw(seq),
            ReplicaState::Working if !mate => {
                case.committed = Some(found_in(case.part));
                self.enter(seq, ReplicaState::Revealing);
            }
            ReplicaState::Revealing => {
                case.shown |= u8::from(!primary) | u8::from(!mate) << 1;
                self.compare(seq);
            }
            ReplicaState::Alone if !primary => self.close(seq, ReplicaOutcome::Alone),
            ReplicaState::Walking => self.others_walk(seq, primary, mate),
            ReplicaState::Showing => {
                case.shown |= u8::from(!primary) | u8::from(!mate) << 1;
                self.dispute(seq);
            }
            ReplicaState::Disputed if !case.decided => case.decided = true,
            ReplicaState::Disputed => self.close(seq, self.verdicts[seq]),
            _ => {}
        }
    }

    /// Whoever of both we are not posts its nodes, or brings those along that are there.
    fn others_walk(&mut self, seq: usize, primary: bool, mate: bool) {
        match self.cases[seq].shown {
            0 => self.post(seq, if primary { Role::Mate } else { Role::Primary }),
            1 if !mate => self.go_down(seq),
            2 if !primary => self.go_down(seq),
            _ => {}
        }
    }

    /// Somebody posts first.
    fn post(&mut self, seq: usize, role: Role) {
        self.enter(seq, ReplicaState::Walking);
        self.cases[seq].shown = if role == Role::Primary { 1 } else { 2 };
    }

    /// The walk goes on at the last of the nodes.
    fn go_down(&mut self, seq: usize) {
        let case = &mut self.cases[seq];
        let step = case.at.below(case.part.count).unwrap();
        case.at = step.place(step.count as usize - 1).unwrap();
        case.shown = 0;
        let arrived = case.at.is_leaf();
        self.enter(seq, if arrived { ReplicaState::Showing } else { ReplicaState::Walking });
    }

    fn dispute(&mut self, seq: usize) {
        if self.cases[seq].shown == 3 {
            self.enter(seq, ReplicaState::Disputed);
            let case = &mut self.cases[seq];
            (case.due, case.decided) = (0, false);
        }
    }

    /// What a log says of a replica now.
    pub(super) fn news(&self, seq: usize) -> Event {
        let (case, range) = (self.cases[seq], at(seq));
        match (case.state, case.shown) {
            (ReplicaState::Walking, 1) => posted(range, PRIMARY, &case, Role::Primary),
            (ReplicaState::Walking, 2) => posted(range, MATE, &case, Role::Mate),
            _ => Event::News { range },
        }
    }

    /// The blocks since the submission are gone; others say something else, also of which tasks the range is.
    pub(super) fn reorganise(&mut self, seq: usize) {
        if self.is_final(seq) {
            return;
        }
        let case = &mut self.cases[seq];
        case.beacon = case.beacon.map(|beacon| B256::from(beacon.0.map(|byte| byte ^ 1)));
        case.part.from ^= 1;
        (case.mate, case.shown, case.committed) = (0, 0, None);
        case.decided = false;
        (case.outcome, case.closed_at) = (ReplicaOutcome::Open, None);
        self.enter(seq, ReplicaState::Sealed);
    }

    pub(super) fn enter(&mut self, seq: usize, state: ReplicaState) {
        let case = &mut self.cases[seq];
        (case.state, case.due) = (state, self.now + 2 * HOUR);
    }

    fn draw(&mut self, seq: usize) {
        if self.cases[seq].lapses > 0 {
            return self.enter(seq, ReplicaState::Alone);
        }
        self.cases[seq].mate = MATE;
        self.enter(seq, ReplicaState::Working);
    }

    fn compare(&mut self, seq: usize) {
        if self.cases[seq].shown != 3 {
            return;
        }
        if !self.at_odds {
            return self.close(seq, ReplicaOutcome::Matched);
        }
        self.cases[seq].at = Place::top(self.cases[seq].part.count);
        self.cases[seq].shown = 0;
        self.enter(seq, ReplicaState::Walking);
    }

    pub(super) fn close(&mut self, seq: usize, outcome: ReplicaOutcome) {
        self.enter(seq, ReplicaState::Closed);
        let case = &mut self.cases[seq];
        (case.outcome, case.due, case.closed_at) = (outcome, 0, Some(self.now));
    }

    /// What is under way ends; `done`: as it should.
    pub(super) fn end(&mut self, at: usize, done: bool) {
        let effect = self.under_way.swap_remove(at);
        let of = effect.range();
        let seq = of.seq as usize;
        let event = match effect {
            Effect::Look { .. } => {
                Event::Looked { range: of, view: done.then(|| Box::new(self.view(seq))) }
            }
            _ if !done => Event::Ended { range: of, done },
            Effect::Run { part, .. } => Event::Found { range: of, part, found: found_in(part) },
            effect => {
                self.carry_out(seq, &effect);
                Event::Ended { range: of, done }
            }
        };
        self.tell(event);
    }

    /// A transaction arrives: the contract refuses what does not fit, however things stood when it was sent.
    fn carry_out(&mut self, seq: usize, effect: &Effect) {
        let case = self.cases[seq];
        let late = self.now > case.due;
        match (effect, case.state) {
            (Effect::Poke { .. }, _) => {
                self.cases[seq].beacon.get_or_insert(B256::repeat_byte(9));
            }
            (Effect::Draw { .. }, ReplicaState::Sealed)
                if !late && (case.beacon.is_some() || case.lapses > 0) =>
            {
                self.draw(seq);
            }
            // Whoever sends it looks once more before: it may have been decided on before a reorganisation.
            (Effect::Commit { part, found, .. }, ReplicaState::Working)
                if !late && case.mate == MATE && *part == case.part =>
            {
                self.cases[seq].committed = Some(*found);
                self.enter(seq, ReplicaState::Revealing);
            }
            (Effect::Reveal { role: Role::Primary, found, .. }, state)
                if !late && *found == found_in(case.part) =>
            {
                match state {
                    ReplicaState::Alone => self.close(seq, ReplicaOutcome::Alone),
                    ReplicaState::Revealing => {
                        self.cases[seq].shown |= 1;
                        self.compare(seq);
                    }
                    _ => {}
                }
            }
            (Effect::Reveal { role: Role::Mate, found, .. }, ReplicaState::Revealing)
                if !late && case.committed == Some(*found) =>
            {
                self.cases[seq].shown |= 2;
                self.compare(seq);
            }
            (Effect::Post { role, part, at, theirs, .. }, ReplicaState::Walking)
                if !late && *part == case.part && *at == case.at =>
            {
                let other = if *role == Role::Primary { Role::Mate } else { Role::Primary };
                if case.shown == 0 && theirs.is_empty() {
                    self.post(seq, *role);
                } else if *theirs == nodes_of(&case, other) {
                    self.go_down(seq);
                }
            }
            (Effect::Open { role, part, position, .. }, ReplicaState::Showing)
                if !late && *part == case.part && *position == case.at.index =>
            {
                self.cases[seq].shown |= if *role == Role::Primary { 1 } else { 2 };
                self.dispute(seq);
            }
            (Effect::Conclude { .. }, ReplicaState::Disputed) if case.decided => {
                self.close(seq, self.verdicts[seq]);
            }
            (Effect::Advance { .. }, state) if late => self.pass_over(seq, state),
            _ => {}
        }
    }

    /// Whoever is late is passed over.
    fn pass_over(&mut self, seq: usize, state: ReplicaState) {
        match state {
            ReplicaState::Sealed | ReplicaState::Working => {
                self.cases[seq].mate = 0;
                self.enter(seq, ReplicaState::Alone);
            }
            ReplicaState::Revealing | ReplicaState::Walking | ReplicaState::Showing
                if self.cases[seq].shown == 1 =>
            {
                self.close(seq, ReplicaOutcome::Alone);
            }
            ReplicaState::Revealing
            | ReplicaState::Walking
            | ReplicaState::Showing
            | ReplicaState::Alone => {
                self.close(seq, ReplicaOutcome::Silent);
            }
            ReplicaState::None | ReplicaState::Disputed | ReplicaState::Closed => {}
        }
    }

    pub(super) fn view(&self, seq: usize) -> View {
        let case = self.cases[seq];
        View {
            state: case.state,
            outcome: case.outcome,
            due: case.due,
            part: case.part,
            round: ROUND,
            primary: PRIMARY,
            mate: case.mate,
            shown: case.shown,
            at: case.at,
            decided: case.decided,
            tries: 0,
            beacon: case.beacon,
            lapses: case.lapses,
            block: case.block,
            now: self.now,
            next: self.now.saturating_add_signed(self.wrong_clock),
            range_over: case.decided && self.verdicts[seq] == ReplicaOutcome::Unequal,
        }
    }

    /// The agent is killed and started again: what is on chain stays.
    pub(super) fn restart(&mut self) {
        self.machine = Machine::new(rules(self.party));
        (self.under_way, self.caught_up) = (Vec::new(), false);
        self.now += 1;
        self.introduce();
    }

    pub(super) fn introduce(&mut self) {
        for seq in 0..self.cases.len() {
            self.tell(Event::Due { range: at(seq), provider: PRIMARY, round: ROUND });
            self.tell(Event::Drawn { range: at(seq), mate: MATE });
            self.tell(self.news(seq));
            if self.cases[seq].state == ReplicaState::Closed {
                self.tell(Event::Closed { range: at(seq) });
            }
        }
        self.tell(Event::CaughtUp { head: self.cases[0].block });
    }

    /// Everything under way ends as it should.
    pub(super) fn work_off(&mut self) {
        while let Some(last) = self.under_way.len().checked_sub(1) {
            self.end(last, true);
        }
    }

    /// All looks under way end as they should.
    pub(super) fn work_off_looks(&mut self) {
        let is_look = |effect: &Effect| matches!(effect, Effect::Look { .. });
        while let Some(at) = self.under_way.iter().position(is_look) {
            self.end(at, true);
        }
    }

    /// Everything works and time passes.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            self.work_off();
            for seq in 0..self.cases.len() {
                if self.cases[seq].state != ReplicaState::Closed {
                    self.move_on(seq);
                    self.tell(self.news(seq));
                }
            }
            // While it looks there is no time to wake at, and news has it look at once; time passes nevertheless.
            self.now = self.machine.next_wake().unwrap_or(self.now + BLOCK);
            self.tell(Event::Tick);
        }
    }
}

pub(super) fn rules(party: Party) -> Rules {
    Rules { party, name: B256::repeat_byte(6), spread: 1_400, poke_after: 1_000 }
}

/// What an honest provider finds in these tasks.
pub(super) fn found_in(part: Part) -> Found {
    let root = B256::with_last_byte(part.from.to_le_bytes()[0]);
    Found { root, units: u64::from(part.count), failures: 0 }
}

/// What somebody has to post where the walk is.
pub(super) fn nodes_of(case: &Chain, role: Role) -> Vec<Node> {
    let who = if role == Role::Primary { 1 } else { 2 };
    let bytes = [who, case.part.from, case.at.level, case.at.index];
    let hash = B256::left_padding_from(&bytes.map(u32::to_be_bytes).concat());
    vec![(hash, Tally::default())]
}

fn posted(range: RangeId, number: u32, case: &Chain, role: Role) -> Event {
    Event::Posted { range, number, at: case.at, nodes: nodes_of(case, role) }
}

pub(super) fn at(seq: usize) -> RangeId {
    RangeId { job: JobId(1), seq: u32::try_from(seq).unwrap() }
}
