//! What is due about a range that is held. When its time is over, drawn auditors look whether it still is: whoever
//! they see serve it has the second half of its fee.

use alloy::primitives::B256;
use tilth_contracts::{RangeState, SpotState};
use tilth_protocol::RangeId;

use super::{
    case::{Act, Case, turn},
    party::{Party, Rules},
    view::View,
    words::{Effect, Part},
};
use crate::{
    audit::Millis,
    cases::{GRACE, LOOK_AGAIN, REACH, Turn},
};

/// How often inputs that are kept are looked at: their job may be over. The time of a range does not end early.
const LOOK_AT_KEPT: Millis = 3_600_000;

/// What a look at holders is of: by what it is drawn, the range, and the draws that have signed.
pub(super) type Sight = (B256, Part, u16);
/// Which beacon draws who looks: its round, and up to when it counts.
pub(super) type Round = (u64, Millis);

impl Case {
    /// What is due about a range that is held.
    pub(super) fn held(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let act = match (rules.party, view.spot.state) {
            (Party::Provider(_), _) | (_, SpotState::Over) => None,
            (Party::Client, _) => self.reclaim(range, view),
            (Party::Auditor(_), SpotState::None) => self.call(rules, range, view, now),
            (Party::Auditor(_), SpotState::Asked) => self.look(rules, range, view, now),
        };
        let Some(act) = act else { return self.course.linger(self.ours, now) };
        self.course.reopen();
        act
    }

    /// Holders were asked for the pieces of our draw.
    pub(super) fn looked(&mut self, draw: u8, seen: u16) {
        self.seen = self.sight.map(|sight| (sight, draw, seen));
    }

    /// A move has ended: the beacon that it was to have noted is noted if it was carried out, else it is still to be.
    pub(super) fn moved(&mut self, done: bool) {
        self.noted = self.noting.take().filter(|_| done).or(self.noted);
    }

    /// Of a client: what nobody can earn any more is its own again. For what somebody still can it does not wait.
    fn reclaim(&mut self, range: RangeId, view: &View) -> Option<Act> {
        let end = match view.spot.state {
            SpotState::None => view.spot_due(),
            SpotState::Asked | SpotState::Over => view.spot.end,
        };
        if view.now <= end {
            // The chain may make no blocks without transactions. One that is refused says that our clock is wrong.
            let is_late = view.next > end.saturating_add(GRACE);
            if !is_late || std::mem::replace(&mut self.has_asked_early, true) {
                return None;
            }
        }
        Some(Act::Do(Effect::Conclude { range }))
    }

    /// Of a holder: nobody has called for those who look yet, and without them it is paid no more.
    fn call(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Option<Act> {
        let due = view.spot_due();
        if !view.has_signed() || view.now > due {
            return None;
        }
        if range.is_inputs() && view.range == RangeState::Rejected {
            // Their job is over, and nobody needs them any more.
            let turn = turn(rules, range, view);
            return Some(self.calls.take(turn, now, Effect::Check { range }));
        }
        self.calls = Turn::default();
        if let Some(wait) = self.until_turn(rules, range, view, (view.until, now)) {
            return Some(Act::Wait(wait));
        }
        // It would be refused for being too late, and only a block can tell us so.
        let is_late = view.next > due.saturating_add(GRACE);
        if is_late && self.is_still(rules, range, view, now) {
            return Some(Act::Do(Effect::Poke { range, round: view.round, once: false }));
        }
        Some(Act::Do(Effect::Check { range }))
    }

    /// Of an auditor: those who look are called for. It may be among them, or be looked at, or both.
    fn look(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Option<Act> {
        let wait = self.until_turn(rules, range, view, (view.spot.end, now));
        if view.now <= view.spot.end {
            if wait.is_none() {
                // By our clock it is over, and no block comes that says so.
                return Some(Act::Do(Effect::Poke { range, round: view.round, once: false }));
            }
            let act = self.say_who_serves(rules, range, view, now);
            if act.is_some() {
                return act;
            }
        }
        if !view.has_signed() {
            return None;
        }
        Some(match wait {
            Some(wait) => Act::Wait(wait),
            None => Act::Do(Effect::Conclude { range }),
        })
    }

    /// What is still to be seen and said by us, while there is time; `None`: nothing.
    fn say_who_serves(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        now: Millis,
    ) -> Option<Act> {
        let Some(seed) = view.spot_seed(range) else {
            // Of a lost one nobody is drawn.
            return (!view.is_beacon_lost()).then(|| self.await_block(rules, range, view, now));
        };
        if let Some(act) = self.note_beacon(rules, range, view, now) {
            return Some(act);
        }
        let draw = view.next_spot()?;
        let sight = (seed, view.part, view.bits);
        if let Some((of, by, seen)) = self.seen
            && (of, by) == (sight, draw)
        {
            return Some(Act::Do(Effect::Spot { range, draw, seen: seen & view.bits }));
        }
        let (part, holders) = (view.part, view.holders());
        if u32::try_from(holders.len()) != Ok(view.bits.count_ones()) {
            // Whom we do not know we cannot look at, and must say nothing of.
            return Some(Act::Wait(LOOK_AGAIN));
        }
        self.sight = Some(sight);
        let left = view.spot.end.saturating_sub(view.now);
        Some(Act::Do(Effect::Inspect { range, part, draw, seed, holders, left }))
    }

    /// The beacon that draws who looks is known, but not for long if nobody has it noted, and without it nobody who
    /// holds is paid. A look can take longer than that, so whoever is to look has it noted before, and so does whoever
    /// holds: one of them after the other, until one has. `None`: it is noted, or that is not ours to do.
    fn note_beacon(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        now: Millis,
    ) -> Option<Act> {
        let round = (view.round, view.spot.end);
        let is_ours = view.has_signed() || view.next_spot().is_some();
        // Every vote has it noted, and of an old round nothing else is known.
        let is_old = view.block > view.round.saturating_add(REACH);
        let is_noted = view.spot.bits != 0 || is_old || self.noted == Some(round);
        if is_noted || !is_ours {
            self.notes = Turn::default();
            return None;
        }
        let note = Effect::Poke { range, round: view.round, once: true };
        let act = self.notes.take(turn(rules, range, view), now, note);
        self.noting = matches!(act, Act::Do(_)).then_some(round);
        Some(act)
    }

    /// How long until it is our turn to have it noted that a time is over; `None`: now. The chain's clock counts, and
    /// ours where no blocks come.
    fn until_turn(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        (end, now): (Millis, Millis),
    ) -> Option<Millis> {
        let from = end.saturating_add(GRACE).saturating_add(turn(rules, range, view));
        let left = |clock: Millis| from.checked_sub(clock).filter(|left| *left > 0);
        let by_chain = left(view.now)?;
        match left(view.next) {
            Some(wait) if range.is_inputs() => Some(wait.min(LOOK_AT_KEPT)),
            Some(wait) => Some(wait),
            None if self.is_still(rules, range, view, now) => None,
            None => Some(by_chain.min(rules.poke_after)),
        }
    }
}
