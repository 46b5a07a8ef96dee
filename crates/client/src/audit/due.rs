//! What is due in a case, by what the chain shows of it.

use tilth_contracts::{AuditState, SeatState};
use tilth_protocol::RangeId;
use tilth_verification::draw::Seed;

use super::{
    case::{Case, is_spared, stands},
    tried::{Mark, mark},
    view::View,
    words::{Effect, Millis, Party, Rules},
};
use crate::cases::{self, BEACON_PAUSE, Course, Followed, GRACE, LOOK_AGAIN, REACH, Room};

/// Looks at our own cases under way at a time, which come first.
const OWN_LOOKS: usize = 32;
/// Looks at others'.
const OTHER_LOOKS: usize = 8;
/// Blocks after which a range that is not audited is drawn on chain nevertheless, so that this stays
/// known: block hashes are there for 256 blocks, and what is forgotten is audited at its provider's cost.
const REMEMBER: u64 = 64;

type Act = cases::Act<Effect>;

impl Followed for Case {
    type Rules = Rules;
    type View = View;
    type Effect = Effect;
    type Mark = Mark;
    /// The beacon's round that is noted.
    type Errand = u64;

    const ROOM: Room = Room::apart(OWN_LOOKS, OTHER_LOOKS);

    fn course(&self) -> &Course<View, Mark> {
        &self.course
    }

    fn course_mut(&mut self) -> &mut Course<View, Mark> {
        &mut self.course
    }

    fn comes_first(&self, rules: Rules) -> bool {
        match rules.party {
            Party::Client | Party::Provider(_) => true,
            Party::Auditor(_) => self.is_ours(),
        }
    }

    fn set_back(&mut self, by: Millis) {
        self.head.set_back(by);
        self.draws.set_back(by);
        self.spared = self.spared.map(|(head, since)| (head, since.saturating_sub(by)));
    }

    fn say(&mut self, _: Rules, range: RangeId, view: &View, out: &mut Vec<Effect>) {
        self.meet(view);
        if let Some(standing) = stands(range, view)
            && self.shown != Some(standing)
        {
            self.shown = Some(standing);
            out.push(Effect::Show { range, standing });
        }
    }

    fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // The auditors of a dispute are done with it; its range's client and provider are not.
        let goes_on = view.is_followed() && !matches!(rules.party, Party::Auditor(_));
        if !goes_on && (view.range_over || view.state == AuditState::Closed) {
            return self.linger(rules, now);
        }
        self.course.reopen();
        if goes_on {
            return Act::Wait(LOOK_AGAIN);
        }
        match self.due(rules, range, view, now) {
            // A seal is all there is to show, and a node that is late knows less than the disk.
            Act::Forget if !self.sealed.is_empty() => Act::Wait(LOOK_AGAIN),
            act => act,
        }
    }

    fn mark(effect: &Effect, view: &View) -> Option<Mark> {
        mark(effect, view)
    }

    fn errand(effect: &Effect) -> Option<u64> {
        match effect {
            Effect::Poke { round, .. } => Some(*round),
            _ => None,
        }
    }

    fn look_at(&self, range: RangeId) -> Effect {
        Effect::Look { range, seat: self.seat }
    }

    fn forget(range: RangeId) -> Effect {
        Effect::Forget { range }
    }
}

impl Case {
    /// It is over.
    fn linger(&mut self, rules: Rules, now: Millis) -> Act {
        let answers = match rules.party {
            Party::Client => false,
            Party::Provider(_) => true,
            Party::Auditor(_) => self.is_ours(),
        };
        self.course.linger(answers, now)
    }

    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.state != AuditState::None {
            self.course.appear();
        }
        let ours = match (rules.party, view.state) {
            // What there is to lose is sealed, and then it is not forgotten.
            (_, AuditState::None) => return self.course.unheard(view.block, false, now),
            (_, AuditState::Submitted) => return self.await_beacon(rules, range, view, now),
            (Party::Provider(_), AuditState::Naming) => {
                // Noted by the draw; a node that does not know it is late.
                let Some(beacon) = view.beacon else { return Act::Wait(BEACON_PAUSE) };
                Some(Effect::Name { range, seed: Seed::new(beacon, range, 0) })
            }
            (Party::Provider(_), AuditState::Opening) => {
                Some(Effect::Open { range, positions: view.positions })
            }
            (Party::Auditor(_), state) => {
                let Some((seat, held)) = view.seat else {
                    // We have sat here: in a dispute before, or a node is late. Who does not sit here any more only looks on.
                    return if self.seat.is_some() { Act::Wait(LOOK_AGAIN) } else { Act::Forget };
                };
                let Some(question) = view.question() else { return Act::Wait(BEACON_PAUSE) };
                let sealed = self.sealed.iter().find(|sealed| sealed.question == question).copied();
                match (held, state) {
                    (SeatState::Drawn, AuditState::Naming) if !self.prepared => {
                        self.prepared = true;
                        Some(Effect::Prepare { range })
                    }
                    (SeatState::Drawn, AuditState::Committing) => match (sealed, self.answer) {
                        (Some(sealed), _) => Some(Effect::Commit { range, seat, sealed }),
                        (None, Some((to, answer))) if to == question => {
                            Some(Effect::Seal { range, seat, question, answer })
                        }
                        // What is found after the deadline is of no use, by the chain's own clock.
                        (None, _) => match view.deadline.checked_sub(view.now) {
                            Some(left) => Some(Effect::Examine { range, question, left }),
                            None => return Act::Wait(LOOK_AGAIN),
                        },
                    },
                    (SeatState::Committed, AuditState::Revealing) if sealed.is_some() => {
                        sealed.map(|sealed| Effect::Reveal { range, seat, sealed })
                    }
                    // Long before it must be shown: whoever has started in the wrong folder has time to start in the right one.
                    (SeatState::Committed, _) if sealed.is_none() => {
                        Some(Effect::Recall { range, seat, question })
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        // Our own move is tried whatever any clock says: the chain's counts, and a refusal costs nothing.
        if let Some(effect) = ours {
            return Act::Do(effect);
        }
        let turn = self.turn(rules, range, view);
        let from = view.deadline.saturating_add(GRACE).saturating_add(turn);
        match from.checked_sub(view.next).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait.min(LOOK_AGAIN)),
            None => Act::Do(Effect::Advance { range }),
        }
    }

    /// How long others are given to do what anybody may do. It is somebody else's turn in every case, and those who have
    /// nothing at stake in it come last.
    fn turn(&self, rules: Rules, range: RangeId, view: &View) -> Millis {
        let half = rules.spread / 2;
        let rank = rules.rank(range, view.round, view.state) % half.max(1);
        match rules.party {
            Party::Auditor(_) if self.seat.is_none() => half.saturating_add(rank),
            _ => rank,
        }
    }

    fn await_beacon(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // Forgotten twice it never has a value; the draw ends the case.
        if view.lapses > 1 {
            return self.draw(rules, range, view, now);
        }
        let Some(beacon) = view.beacon else {
            let late = view.block > view.round.saturating_add(REACH);
            // Nobody kept it; the draw moves the round and says so to all.
            if late && view.lapses == 0 {
                return self.draw(rules, range, view, now);
            }
            let since = self.head.note(view.block, now);
            let turn = self.turn(rules, range, view);
            if now >= since.saturating_add(rules.poke_after).saturating_add(turn) {
                return Act::Do(Effect::Poke { range, round: view.round });
            }
            // To which block it has moved only the contract knows; asking too early costs nothing.
            if view.lapses > 0 {
                return self.draw(rules, range, view, now);
            }
            return Act::Wait(BEACON_PAUSE.min(rules.poke_after));
        };
        if is_spared(range, beacon, view) {
            return match rules.party {
                Party::Auditor(_) => Act::Forget,
                _ => self.remember(range, view, now),
            };
        }
        self.draw(rules, range, view, now)
    }

    fn draw(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let turn = self.turn(rules, range, view);
        self.draws.take(turn, now, Effect::Draw { range })
    }

    /// Has it put on record that a range is not audited, unless it is paid before that is needed. Until then the case is
    /// looked at the more often the faster blocks come.
    fn remember(&mut self, range: RangeId, view: &View, now: Millis) -> Act {
        let until = view.round.saturating_add(REMEMBER);
        let Some(left) = until.checked_sub(view.block) else {
            return Act::Do(Effect::Draw { range });
        };
        let Some((block, since)) = self.spared else {
            self.spared = Some((view.block, now));
            return Act::Wait(BEACON_PAUSE);
        };
        let passed = view.block.saturating_sub(block);
        let pause = now.saturating_sub(since).saturating_mul(left.saturating_add(1));
        let pause = pause.checked_div(passed).unwrap_or(LOOK_AGAIN);
        Act::Wait(pause.clamp(BEACON_PAUSE, LOOK_AGAIN))
    }
}
