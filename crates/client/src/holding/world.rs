//! A model of the contract and of the other parties, for tests of the machine.

use alloy::primitives::{Address, B256};
use tilth_contracts::{HoldState, RangeState};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::HOLDERS;

use super::{
    machine::Machine,
    view::{SpotView, View},
    words::{Effect, Event, Part, Party, Rules, Standing},
};
use crate::audit::{FINAL, Millis};

pub(super) const START: Millis = 1_790_000_000_000;
/// The beacon's round of all asks.
pub(super) const ROUND: u64 = 12;
pub(super) const PROVIDER: Address = Address::repeat_byte(0xa5);
pub(super) const AUDITOR: u32 = 4;
/// The draws that name the auditor: one that may sign at once and is needed, and one that may later.
pub(super) const OURS: u16 = 1 << 2 | 1 << 9;
pub(super) const HOUR: Millis = 3_600_000;
/// The window of all ranges.
pub(super) const WINDOW: Millis = 1_200_000;
/// How long a range is kept.
pub(super) const KEPT: Millis = 2 * HOUR;
/// Sizes: of the ranges as their provider knows it, and the largest.
pub(super) const MIB: u32 = 3;
pub(super) const MAX_MIB: u32 = 10;
/// What a client puts into its deposit at most.
pub(super) const MOST: u128 = 20_000;
/// From one block's news to the next.
const BLOCK: Millis = 1_000;

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

    pub(super) fn reserved(&self) -> u128 {
        self.cases.iter().filter(|case| case.state.is_open()).map(|case| cost(case.mib)).sum()
    }

    pub(super) fn free(&self) -> u128 {
        self.deposit - self.reserved()
    }

    /// What a log says of how a range stands.
    pub(super) fn told(&self, seq: usize) -> Event {
        let (range, provider) = (at(seq), PROVIDER);
        let case = &self.cases[seq];
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
            self.closed |= done;
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
            effect => {
                self.carry_out(seq, &effect);
                Event::Ended { range: of, done }
            }
        };
        self.tell(event);
    }

    pub(super) fn view(&self, seq: usize) -> View {
        let case = self.cases[seq];
        View {
            range: case.range,
            part: case.part,
            provider: PROVIDER,
            window_end: case.window_end,
            may_pay: case.may_pay,
            state: case.state,
            round: ROUND,
            from: case.from,
            until: case.until,
            mib: case.mib,
            max_mib: MAX_MIB,
            bits: case.bits,
            draws: match self.party {
                Party::Auditor(AUDITOR) if case.beacon.is_some() => OURS,
                _ => 0,
            },
            named: [0; HOLDERS],
            spot: SpotView::default(),
            asked: case.asked,
            deposit: self.deposit,
            free: self.free(),
            cost: cost(MAX_MIB),
            beacon: case.beacon,
            lapses: case.lapses,
            block: case.block,
            now: self.now,
            next: self.now + self.wrong_clock,
        }
    }

    /// The agent is killed and started again: what is on chain stays, and what is on disk.
    pub(super) fn restart(&mut self) {
        self.machine = Machine::new(rules(self.party));
        (self.under_way, self.caught_up) = (Vec::new(), false);
        self.now += 1;
        self.introduce();
    }

    pub(super) fn introduce(&mut self) {
        for seq in 0..self.cases.len() {
            let (range, provider) = (at(seq), PROVIDER);
            self.tell(Event::Submitted { range, provider });
            let case = self.cases[seq];
            if case.asked > 0 {
                self.tell(Event::Asked { range, provider, round: ROUND });
            }
            if let Party::Auditor(auditor) = self.party
                && case.bits & OURS != 0
            {
                self.tell(Event::Signed { range, auditor });
            }
            if case.range != RangeState::Submitted {
                self.tell(Event::Over { range });
            }
        }
        if self.job_over {
            self.tell(Event::JobOver);
        }
        self.tell(Event::CaughtUp { head: self.cases[0].block });
    }

    /// Everything under way ends as it should.
    pub(super) fn work_off(&mut self) {
        while let Some(last) = self.under_way.len().checked_sub(1) {
            self.end(last, true);
        }
    }

    /// Everything works and time passes.
    pub(super) fn settle(&mut self) {
        self.now = self.now.max(START + WINDOW);
        for _ in 0..500 {
            self.work_off();
            for seq in 0..self.cases.len() {
                if self.cases[seq].range == RangeState::Submitted {
                    self.move_on(seq);
                    self.tell(self.told(seq));
                }
            }
            let over = self.cases.iter().all(|case| case.range != RangeState::Submitted);
            if over && !self.job_over {
                self.job_over = true;
                self.tell(Event::JobOver);
            }
            // While it looks there is no time to wake at, and news has it look at once; time passes nevertheless.
            self.now = self.machine.next_wake().unwrap_or(self.now + BLOCK);
            self.tell(Event::Tick);
        }
    }
}

pub(super) fn rules(party: Party) -> Rules {
    let name = B256::repeat_byte(6);
    Rules { party, name, spread: 1_400, poke_after: 1_000, ask_after: 60_000, most: MOST }
}

/// What both asks for so much cost.
pub(super) fn cost(mib: u32) -> u128 {
    HOLDERS as u128 * u128::from(mib)
}

pub(super) fn at(seq: usize) -> RangeId {
    RangeId { job: JobId(1), seq: u32::try_from(seq).unwrap() }
}
