//! What the contracts of the model do when somebody calls them, and what others call.

use alloy::primitives::B256;
use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_verification::holding::{
    ASKS, HOLD_TIME_S, SPOT_TIME_S, SPOTTERS, is_majority, open_draws,
};

use super::{
    filling::{Lack, lack},
    party::Party,
    spotting::SpotView,
    words::Effect,
    world::{DUE, KEPT, MAX_MIB, MIB, MOST, SPOT_ROUND, SPOTS, World, cost, rules},
};
use crate::{audit::Millis, cases::REACH};

impl World {
    /// Others move a range on.
    pub(super) fn move_on(&mut self, seq: usize) {
        self.pass_blocks(seq, 1);
        let case = self.cases[seq];
        // Nobody else asks where we are the provider, or the client of one that does not.
        let holds = matches!(self.party, Party::Auditor(_));
        match case.state {
            HoldState::Held if case.range != RangeState::Submitted => self.look_on(seq),
            _ if case.range != RangeState::Submitted => {}
            HoldState::None | HoldState::Again if holds => self.ask(seq, MIB),
            HoldState::Asked if case.beacon.is_none() => {
                self.cases[seq].beacon = Some(B256::repeat_byte(9));
            }
            HoldState::Asked => self.draw(seq),
            HoldState::Open => {
                let others = if holds { 0b1011 } else { 0b10_1101 };
                self.sign(seq, others & !case.bits);
            }
            HoldState::Held => self.end_range(seq, RangeState::Settled),
            _ => {}
        }
    }

    /// Others see to it that it is looked at who holds it.
    fn look_on(&mut self, seq: usize) {
        let case = self.cases[seq];
        match case.spot.state {
            SpotState::None => self.call(seq),
            SpotState::Asked if case.spot_beacon.is_none() => self.note_spot(seq),
            SpotState::Asked => {
                let others = (0..SPOTTERS).map(|draw| 1_u8 << draw);
                let mut waiting = others.filter(|bit| (SPOTS | case.spot.bits) & bit == 0);
                if let Some(bit) = waiting.next() {
                    self.vote(seq, bit);
                }
            }
            SpotState::Over => {}
        }
    }

    /// The beacon that draws who looks is known, if it ever is.
    pub(super) fn note_spot(&mut self, seq: usize) {
        let case = &mut self.cases[seq];
        if case.block <= SPOT_ROUND + REACH {
            case.spot_beacon.get_or_insert(B256::repeat_byte(8));
        }
    }

    /// So many blocks come. What nobody has noted by then is lost.
    pub(super) fn pass_blocks(&mut self, seq: usize, blocks: u64) {
        let case = &mut self.cases[seq];
        case.block += blocks;
        let is_noted = case.spot_noted || case.spot.bits != 0;
        if !is_noted && case.block > SPOT_ROUND + REACH {
            case.spot_beacon = None;
        }
    }

    fn call(&mut self, seq: usize) {
        let now = self.now;
        let case = &mut self.cases[seq];
        let is_time = now > case.until && now <= case.until + DUE;
        if case.state == HoldState::Held && case.spot.state == SpotState::None && is_time {
            let end = now + SPOT_TIME_S * 1_000;
            case.spot = SpotView { state: SpotState::Asked, end, bits: 0, draws: 0 };
        }
    }

    fn vote(&mut self, seq: usize, bit: u8) {
        let now = self.now;
        let case = &mut self.cases[seq];
        let is_time = case.spot.state == SpotState::Asked && now <= case.spot.end;
        if is_time && case.spot_beacon.is_some() {
            case.spot.bits |= bit;
        }
        if case.spot.bits.count_ones() as usize == SPOTTERS {
            case.spot.state = SpotState::Over;
        }
    }

    /// When a look can be ended, or could not be begun any more.
    pub(super) fn spot_end(&self, seq: usize) -> Millis {
        let case = self.cases[seq];
        match case.spot.state {
            SpotState::None => case.until + DUE,
            SpotState::Asked | SpotState::Over => case.spot.end,
        }
    }

    /// The blocks since the submission are gone; others say something else, also of what the range is.
    pub(super) fn reorganise(&mut self, seq: usize) {
        // Nor is what is paid taken back here: deposits would have to be, too.
        if self.is_final(seq) || self.cases[seq].range != RangeState::Submitted {
            return;
        }
        let case = &mut self.cases[seq];
        case.part.root = B256::from(case.part.root.0.map(|byte| byte ^ 1));
        case.beacon = None;
        (case.state, case.from, case.until) = (HoldState::None, 0, 0);
        (case.mib, case.bits, case.asked, case.ended_at) = (0, 0, 0, None);
        (case.spot, case.spot_beacon, case.spot_noted) = (SpotView::default(), None, false);
        case.looked = [None; SPOTTERS];
    }

    pub(super) fn ask(&mut self, seq: usize, mib: u32) {
        let (free, client) = (self.free(), self.party == Party::Client);
        let alone = rules(self.party).ask_after;
        let case = &mut self.cases[seq];
        let again = case.state == HoldState::Again;
        // So long the provider alone asks, which knows the size.
        let since = if again { case.from } else { case.window_end };
        let wait = if client { alone } else { 0 };
        let payable = case.may_pay && self.now >= case.window_end && self.now >= since + wait;
        if !payable || !again && free < cost(MAX_MIB) {
            return;
        }
        let too_large = again && (mib > case.mib || client && mib != case.mib);
        if !again && case.state != HoldState::None || too_large {
            return;
        }
        (case.state, case.mib, case.bits, case.beacon) = (HoldState::Asked, mib, 0, None);
        (case.asked, case.from) = (case.asked + 1, 0);
    }

    pub(super) fn draw(&mut self, seq: usize) {
        if self.cases[seq].lapses > 0 {
            self.cases[seq].lapses = 0;
            return self.fail(seq);
        }
        let now = self.now;
        let case = &mut self.cases[seq];
        (case.state, case.from) = (HoldState::Open, now);
    }

    pub(super) fn fail(&mut self, seq: usize) {
        let now = self.now;
        let case = &mut self.cases[seq];
        if case.range != RangeState::Submitted {
            case.state = HoldState::Dropped;
        } else if case.asked < ASKS {
            (case.state, case.from) = (HoldState::Again, now);
        } else {
            (case.state, case.range, case.ended_at) =
                (HoldState::Lost, RangeState::Rejected, Some(now));
        }
    }

    /// Those draws sign that may; the others' are those of the first seven.
    fn sign(&mut self, seq: usize, draws: u16) {
        let now = self.now;
        let case = &mut self.cases[seq];
        let open = open_draws(now.saturating_sub(case.from) / 1_000);
        let may = (1_u16 << open).wrapping_sub(1);
        case.bits |= draws & may;
        if is_majority(case.bits.count_ones() as usize, open) {
            (case.state, case.until) = (HoldState::Held, now + KEPT);
            case.ended_at = Some(now);
        }
    }

    pub(super) fn end_range(&mut self, seq: usize, state: RangeState) {
        self.cases[seq].range = state;
        self.cases[seq].ended_at.get_or_insert(self.now);
    }

    /// A transaction arrives: the contract refuses what does not fit, however things stood when it was sent.
    pub(super) fn carry_out(&mut self, seq: usize, effect: &Effect) {
        let case = self.cases[seq];
        let submitted = case.range == RangeState::Submitted;
        match effect {
            Effect::Poke { .. } => {
                let is_called = case.spot.state == SpotState::Asked;
                self.cases[seq].spot_noted |= is_called && case.spot_beacon.is_some();
                self.pass_blocks(seq, 1);
                if is_called {
                    self.note_spot(seq);
                } else {
                    self.cases[seq].beacon.get_or_insert(B256::repeat_byte(9));
                }
            }
            Effect::Ask { mib, .. } if submitted => self.ask(seq, *mib),
            Effect::Draw { .. }
                if case.state == HoldState::Asked && (case.beacon.is_some() || case.lapses > 0) =>
            {
                self.draw(seq);
            }
            Effect::Fail { .. } if case.state.is_open() && !submitted => self.fail(seq),
            Effect::Fail { .. }
                if case.state == HoldState::Open
                    && self.now > case.from + 2 * HOLD_TIME_S * 1_000 =>
            {
                self.fail(seq);
            }
            // Whoever sends it looks once more before: it may have been decided on before a reorganisation.
            Effect::Sign { part, draw, .. }
                if case.state == HoldState::Open && submitted && *part == case.part =>
            {
                self.sign(seq, 1_u16 << draw);
            }
            Effect::Check { .. } => self.call(seq),
            Effect::Spot { draw, .. } => self.vote(seq, 1 << draw),
            Effect::Conclude { .. }
                if case.state == HoldState::Held && self.now > self.spot_end(seq) =>
            {
                self.cases[seq].spot.state = SpotState::Over;
            }
            Effect::Fund { due, .. } => {
                if let Lack::Within(amount) = lack(*due, (self.deposit, self.reserved()), MOST) {
                    self.deposit += amount;
                }
            }
            _ => {}
        }
    }
}
