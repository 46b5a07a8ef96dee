//! A model of the contract and of the other parties, for tests of the machine.

use alloy::primitives::{Address, B256};
use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::{HOLDERS, MOST_HELD, SPOT_DUE_S, SPOTTERS};

use super::{
    machine::Machine,
    spotting::SpotView,
    view::View,
    words::{Effect, Event, Part, Party, Rules, Standing},
};
use crate::audit::{FINAL, Millis};

pub(super) const START: Millis = 1_790_000_000_000;
/// The beacon's round of all asks.
pub(super) const ROUND: u64 = 12;
/// And of those who look.
pub(super) const SPOT_ROUND: u64 = 400;
pub(super) const PROVIDER: Address = Address::repeat_byte(0xa5);
pub(super) const AUDITOR: u32 = 4;
/// The draws that name the auditor: one that may sign at once and is needed, and one that may later.
pub(super) const OURS: u16 = 1 << 2 | 1 << 9;
/// The draws of those who look that name the auditor.
pub(super) const SPOTS: u8 = 1 << 1 | 1 << 4;
pub(super) const HOUR: Millis = 3_600_000;
/// The window of all ranges.
pub(super) const WINDOW: Millis = 1_200_000;
/// How long a range is kept.
pub(super) const KEPT: Millis = 2 * HOUR;
/// For how long after that those who look can be called for.
pub(super) const DUE: Millis = SPOT_DUE_S * 1_000;
/// Sizes: of the ranges as their provider knows it, and the largest.
pub(super) const MIB: u32 = 3;
pub(super) const MAX_MIB: u32 = 10;
/// What a client puts into its deposit at most.
pub(super) const MOST: u128 = 20_000;

/// One range as the contracts have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) range: RangeState,
    pub(super) part: Part,
    pub(super) window_end: Millis,
    pub(super) may_pay: bool,
    pub(super) state: HoldState,
    pub(super) from: Millis,
    pub(super) until: Millis,
    pub(super) mib: u32,
    pub(super) bits: u16,
    pub(super) asked: u8,
    pub(super) beacon: Option<B256>,
    pub(super) lapses: u8,
    pub(super) block: u64,
    /// How looking at who holds it stands, but for our draws.
    pub(super) spot: SpotView,
    pub(super) spot_beacon: Option<B256>,
    /// Whether somebody has had it noted, but by a vote.
    pub(super) spot_noted: bool,
    /// What we have seen in it, for each draw of those who look.
    pub(super) looked: [Option<u16>; SPOTTERS],
    /// What is here, and for what we have signed.
    pub(super) here: Option<Part>,
    /// When nothing more could happen.
    pub(super) ended_at: Option<Millis>,
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) party: Party,
    pub(super) now: Millis,
    pub(super) cases: Vec<Chain>,
    /// What is left of the deposit; nobody's fees are reckoned with.
    pub(super) deposit: u128,
    pub(super) under_way: Vec<Effect>,
    pub(super) caught_up: bool,
    pub(super) job_over: bool,
    pub(super) closed: bool,
    pub(super) forgotten: Vec<bool>,
    /// What was last said of each to people, and up to when it was said to be kept.
    pub(super) shown: Vec<Option<Standing>>,
    pub(super) kept: Vec<Option<Millis>>,
    /// Hours in which nothing was done.
    pub(super) rested: u64,
    /// How far our clock is ahead of the chain's, milliseconds.
    pub(super) wrong_clock: Millis,
}

impl World {
    pub(super) fn new(party: Party, cases: usize) -> Self {
        let case = Chain {
            range: RangeState::Submitted,
            part: Part { from: 8, count: 4, root: B256::repeat_byte(1) },
            window_end: START + WINDOW,
            may_pay: true,
            state: HoldState::None,
            from: 0,
            until: 0,
            mib: 0,
            bits: 0,
            asked: 0,
            beacon: None,
            lapses: 0,
            block: 10,
            spot: SpotView::default(),
            spot_beacon: None,
            spot_noted: false,
            looked: [None; SPOTTERS],
            here: None,
            ended_at: None,
        };
        Self {
            machine: Machine::new(rules(party)),
            party,
            now: START,
            cases: vec![case; cases],
            // The client has to fill it up.
            deposit: if party == Party::Client { 0 } else { MOST },
            under_way: Vec::new(),
            caught_up: false,
            job_over: false,
            closed: false,
            forgotten: vec![false; cases],
            shown: vec![None; cases],
            kept: vec![None; cases],
            rested: 0,
            wrong_clock: 0,
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.caught_up |= matches!(event, Event::CaughtUp { .. });
        for effect in self.machine.step(event, self.now) {
            self.check(&effect);
            match effect {
                Effect::Show { range, standing } => self.shown[range.seq as usize] = Some(standing),
                Effect::Keep { range, until } => self.kept[range.seq as usize] = Some(until),
                Effect::Forget { range } => self.forgotten[range.seq as usize] = true,
                effect => self.under_way.push(effect),
            }
        }
        let wake = self.machine.next_wake();
        assert!(wake.is_none_or(|wake| wake > self.now), "wakes in the past");
        let idle = self.machine.cases().next().is_none() && !self.job_over;
        assert!(!idle || wake.is_none(), "wakes for nothing");
    }

    /// Whether a range is over for so long that nothing takes that back.
    pub(super) fn is_final(&self, seq: usize) -> bool {
        self.cases[seq].ended_at.is_some_and(|at| self.now >= at + FINAL)
    }

    /// For asks that are open.
    pub(super) fn asked(&self) -> u128 {
        self.cases.iter().filter(|case| case.state.is_open()).map(|case| cost(case.mib)).sum()
    }

    /// For those who hold: until they have been looked at.
    pub(super) fn held(&self) -> u128 {
        let waits =
            |case: &&Chain| case.state == HoldState::Held && case.spot.state != SpotState::Over;
        self.cases.iter().filter(waits).map(|case| half(case.mib)).sum()
    }

    pub(super) fn reserved(&self) -> u128 {
        self.asked() + self.held()
    }

    pub(super) fn free(&self) -> u128 {
        self.deposit - self.reserved()
    }

    /// What must be free for the job to give out another range.
    pub(super) fn rest(&self) -> u128 {
        let out = self.cases.iter().filter(|case| case.range == RangeState::Submitted).count();
        cost(MAX_MIB) * (out as u128 + 1)
    }

    /// What a log says of how a range stands.
    pub(super) fn told(&self, seq: usize) -> Event {
        let (range, provider) = (at(seq), PROVIDER);
        let case = &self.cases[seq];
        match case.spot.state {
            SpotState::None => {}
            SpotState::Asked => return Event::Called { range },
            SpotState::Over => return Event::Over { range },
        }
        match case.state {
            _ if case.range != RangeState::Submitted => Event::Over { range },
            HoldState::None => Event::Submitted { range, provider },
            HoldState::Asked => Event::Asked { range, provider, round: ROUND },
            _ => Event::News { range },
        }
    }

    /// What is under way ends; `done`: as it should.
    pub(super) fn end(&mut self, at: usize, done: bool) {
        let effect = self.under_way.swap_remove(at);
        let Some(of) = effect.range() else {
            if done {
                (self.closed, self.deposit) = (true, self.reserved());
            }
            return self.tell(Event::Closed { done });
        };
        let seq = of.seq as usize;
        let event = match effect {
            Effect::Look { .. } => {
                Event::Looked { range: of, view: done.then(|| Box::new(self.view(seq))) }
            }
            _ if !done => Event::Ended { range: of, done },
            Effect::Size { part, .. } => Event::Sized { range: of, part, mib: MIB },
            Effect::Fetch { part, .. } => {
                self.cases[seq].here = Some(part);
                Event::Fetched { range: of, part }
            }
            Effect::Inspect { draw, ref holders, .. } => {
                // The first of them is away.
                let served = holders.iter().skip(1);
                let seen = served.fold(0, |seen, (draw, _)| seen | 1_u16 << draw);
                self.cases[seq].looked[usize::from(draw)] = Some(seen);
                Event::Inspected { range: of, draw, seen }
            }
            effect => {
                self.carry_out(seq, &effect);
                Event::Ended { range: of, done }
            }
        };
        self.tell(event);
    }

    pub(super) fn view(&self, seq: usize) -> View {
        let case = self.cases[seq];
        let is_called = case.spot.state == SpotState::Asked;
        // Of what is held only who looks is drawn.
        let (round, beacon) = match case.state {
            HoldState::Held if is_called => (SPOT_ROUND, case.spot_beacon),
            HoldState::Held => (ROUND, None),
            _ => (ROUND, case.beacon),
        };
        let us = self.party == Party::Auditor(AUDITOR);
        let is_looking = us && is_called && case.spot_beacon.is_some();
        View {
            range: case.range,
            part: case.part,
            provider: PROVIDER,
            window_end: case.window_end,
            may_pay: case.may_pay,
            state: case.state,
            round,
            from: case.from,
            until: case.until,
            mib: case.mib,
            max_mib: MAX_MIB,
            bits: case.bits,
            draws: if us && case.beacon.is_some() { OURS } else { 0 },
            named: self.named(seq),
            spot: SpotView { draws: if is_looking { SPOTS } else { 0 }, ..case.spot },
            asked: case.asked,
            deposit: self.deposit,
            free: self.free(),
            cost: cost(MAX_MIB),
            rest: self.rest(),
            beacon,
            lapses: case.lapses,
            block: case.block,
            now: self.now,
            next: self.now + self.wrong_clock,
        }
    }

    /// Whom the draws of holders name, as an auditor sees it.
    pub(super) fn named(&self, seq: usize) -> [u32; HOLDERS] {
        let sees = matches!(self.party, Party::Auditor(_)) && self.cases[seq].beacon.is_some();
        std::array::from_fn(|draw| match u32::try_from(draw) {
            Ok(draw) if sees && OURS >> draw & 1 == 1 => AUDITOR,
            Ok(draw) if sees => 100 + draw,
            _ => 0,
        })
    }
}

pub(super) fn rules(party: Party) -> Rules {
    let name = B256::repeat_byte(6);
    Rules { party, name, spread: 1_400, poke_after: 1_000, ask_after: 60_000, most: MOST }
}

/// What both asks for so much cost, and the second halves of those who hold it.
pub(super) fn cost(mib: u32) -> u128 {
    HOLDERS as u128 * u128::from(mib) + half(mib)
}

/// The second halves.
pub(super) fn half(mib: u32) -> u128 {
    MOST_HELD as u128 * u128::from(mib)
}

pub(super) fn at(seq: usize) -> RangeId {
    RangeId { job: JobId(1), seq: u32::try_from(seq).unwrap() }
}
