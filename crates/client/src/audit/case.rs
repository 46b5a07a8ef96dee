//! One case as a party knows it, and what is due in it.

use alloy::primitives::B256;
use tilth_contracts::{AuditState, SeatState};
use tilth_protocol::RangeId;
use tilth_verification::{
    audit::{Decision, decide},
    draw::Seed,
};

use super::{
    tried::{Tried, pause},
    view::View,
    words::{Effect, FINAL, Millis, Party, Question, Rules, Sealed, Standing},
};

/// How often a case is looked at although nothing is heard of it.
pub(super) const LOOK_AGAIN: Millis = 15_000;
/// How often, while the beacon is awaited.
pub(super) const BEACON_PAUSE: Millis = 1_000;
/// How often a case is looked at that is over: it may not have been. No window of a case is shorter than four of these.
const LOOK_AT_ENDED: Millis = FINAL / 2;
/// After a deadline wait so much longer: chains round times, and the late one may just be sending.
const GRACE: Millis = 2_000;
/// Blocks after which a range that is not audited is drawn on chain nevertheless, so that this stays
/// known: block hashes are there for 256 blocks, and what is forgotten is audited at its provider's cost.
const REMEMBER: u64 = 64;
/// Blocks after which a beacon that nobody noted is lost, and its round moves.
pub(super) const REACH: u64 = 256;
/// Blocks after which a case that the chain has never heard of was in a block that does not count any more.
const UNHEARD: u64 = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// Where we have sat last, as far as we have heard.
    pub(super) seat: Option<u8>,
    pub(super) view: Option<View>,
    /// The beacon's round, as far as a log has said it: the latest.
    pub(super) round: Option<u64>,
    /// The round of the case that was seen last. A range that was disputed has two, one after the other.
    seen: Option<u64>,
    /// Whether another case has begun in which we have no seat yet.
    pub(super) renewed: bool,
    /// Whether there was news since the last look was begun.
    pub(super) news: bool,
    pub(super) busy: bool,
    /// Whether a look is what is under way.
    pub(super) looking: bool,
    pub(super) not_before: Millis,
    failures: u32,
    prepared: bool,
    pub(super) answer: Option<(Question, B256)>,
    /// All that was ever sealed, each for another question.
    pub(super) sealed: Vec<Sealed>,
    pub(super) shown: Option<Standing>,
    /// The head when the beacon was found missing, and since when it is that.
    head: Option<(u64, Millis)>,
    draw_from: Option<Millis>,
    /// The head when it was first seen that the range is not audited, and when that was.
    spared: Option<(u64, Millis)>,
    /// The head when the chain first knew nothing of the case.
    unheard: Option<u64>,
    /// Since when it is over.
    over_since: Option<Millis>,
    /// How often logs have said that it begins, and how many of these ends were in what was read of the past: a range that was
    /// disputed has two.
    begun: u32,
    ended: u32,
    tried: Option<Tried>,
}

/// What is due in a case.
pub(super) enum Act {
    Do(Effect),
    /// Nothing for so long; then look again.
    Wait(Millis),
    Forget,
}

impl Case {
    /// What was under way has ended; what the chain showed before is outdated.
    pub(super) fn end(&mut self, done: bool, now: Millis) {
        (self.busy, self.looking) = (false, false);
        self.view = None;
        if done {
            (self.failures, self.not_before) = (0, 0);
        } else {
            self.not_before = now.saturating_add(pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// A case is said to wait for its beacon. A log that a node did not have comes after later ones, so that of a dispute may be
    /// heard when the range's own has begun: it takes nothing back, and is one more reason to look.
    pub(super) fn begin(&mut self, round: u64) {
        self.begun = self.begun.saturating_add(1);
        if let Some(known) = self.round {
            self.hear();
            if round < known {
                return;
            }
            self.renewed |= round > known;
        }
        self.round = Some(round);
    }

    /// What is read of the past says that a case is over: whether it is the last that has begun.
    pub(super) fn conclude(&mut self) -> bool {
        // Of one whose beginning was not read nothing is left to be counted.
        if self.ended < self.begun {
            self.ended = self.ended.saturating_add(1);
        }
        self.is_past()
    }

    /// Whether all that has begun was over in what was read of the past.
    pub(super) fn is_past(&self) -> bool {
        self.ended >= self.begun
    }

    /// The chain shows a case, maybe another one than before. Of the old one only what was sealed is kept, which is told
    /// apart by what it answers.
    pub(super) fn meet(&mut self, view: &View) {
        if view.state == AuditState::None {
            return;
        }
        if self.seen.replace(view.round).is_some_and(|seen| seen != view.round) {
            (self.prepared, self.answer, self.tried, self.shown) = (false, None, None, None);
            (self.head, self.draw_from, self.spared) = (None, None, None);
            self.over_since = None;
        }
        if view.seat.is_some() && self.round.is_none_or(|round| view.round >= round) {
            self.renewed = false;
        }
    }

    /// Something was said about it.
    pub(super) fn hear(&mut self) {
        self.news = true;
        self.view = None;
        // After failures the pause is kept, or a busy case would have us ask all the time.
        if self.failures == 0 {
            self.not_before = 0;
        }
    }

    /// The clock was set back: pauses last as long as they were meant to.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
        self.draw_from = self.draw_from.map(|from| from.saturating_sub(by));
        self.over_since = self.over_since.map(|since| since.saturating_sub(by));
        for place in [&mut self.head, &mut self.spared] {
            *place = place.map(|(head, since)| (head, since.saturating_sub(by)));
        }
        if let Some(tried) = &mut self.tried {
            tried.set_back(by);
        }
    }

    /// Whether we lose something if nothing is done.
    pub(super) fn is_ours(&self) -> bool {
        self.seat.is_some() || !self.sealed.is_empty()
    }

    /// Whether that is so in the case that is open now, for an auditor.
    pub(super) fn is_seated(&self) -> bool {
        let judged = self.shown == Some(Standing::Disputed(AuditState::Closed));
        self.is_ours() && !self.renewed && !judged
    }

    /// What is due now, by what the chain shows.
    pub(super) fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // The auditors of a dispute are done with it; its range's client and provider are not.
        let goes_on = view.is_followed() && !matches!(rules.party, Party::Auditor(_));
        if !goes_on && (view.range_over || view.state == AuditState::Closed) {
            return self.linger(rules, now);
        }
        self.over_since = None;
        if goes_on {
            return Act::Wait(LOOK_AGAIN);
        }
        match self.due(rules, range, view, now) {
            // A seal is all there is to show, and a node that is late knows less than the disk.
            Act::Forget if !self.sealed.is_empty() => Act::Wait(LOOK_AGAIN),
            Act::Do(effect) => match Tried::again(self.tried, &effect, view, now) {
                Ok(tried) => {
                    self.tried = tried;
                    Act::Do(effect)
                }
                Err(pause) => Act::Wait(pause),
            },
            act => act,
        }
    }

    /// It is over. Who answers for it goes on looking for a while, and is there if it is open again.
    fn linger(&mut self, rules: Rules, now: Millis) -> Act {
        let answers = match rules.party {
            Party::Client => false,
            Party::Provider(_) => true,
            Party::Auditor(_) => self.is_ours(),
        };
        let since = *self.over_since.get_or_insert(now);
        let left = since.saturating_add(FINAL).checked_sub(now).filter(|left| answers && *left > 0);
        left.map_or(Act::Forget, |left| Act::Wait(left.min(LOOK_AT_ENDED)))
    }

    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.state != AuditState::None {
            self.unheard = None;
        }
        let ours = match (rules.party, view.state) {
            (_, AuditState::None) => return self.unheard(view),
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

    /// The chain knows nothing of the case: the node is late, or the block in which we have heard of it is gone.
    fn unheard(&mut self, view: &View) -> Act {
        let since = *self.unheard.get_or_insert(view.block);
        if view.block.saturating_sub(since) >= UNHEARD {
            return Act::Forget;
        }
        Act::Wait(BEACON_PAUSE)
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
            let since = match self.head {
                Some((head, since)) if head == view.block => since,
                _ => now,
            };
            self.head = Some((view.block, since));
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
        let from = *self.draw_from.get_or_insert(now.saturating_add(turn));
        match from.checked_sub(now).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait),
            None => Act::Do(Effect::Draw { range }),
        }
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

/// Whether the beacon does not draw the range. A value that somebody may have waited for spares nobody.
fn is_spared(range: RangeId, beacon: B256, view: &View) -> bool {
    view.lapses == 0 && decide(Seed::new(beacon, range, 0), view.rate) == Decision::Unaudited
}

/// How a case stands, if the chain knows of it.
pub(super) fn stands(range: RangeId, view: &View) -> Option<Standing> {
    match (view.state, view.beacon) {
        (AuditState::None, _) => None,
        (AuditState::Closed, _) if view.is_followed() => {
            Some(Standing::Disputed(AuditState::Closed))
        }
        (AuditState::Closed, _) => Some(Standing::Over(view.outcome)),
        (AuditState::Submitted, Some(beacon)) if is_spared(range, beacon, view) => {
            Some(Standing::NotDrawn)
        }
        // A verdict closes its case, and else only what is not drawn is paid. The beacon that said so may be forgotten.
        (AuditState::Submitted, _) if view.range_over => Some(Standing::NotDrawn),
        (state, _) if view.disputed => Some(Standing::Disputed(state)),
        (state, _) => Some(Standing::Open(state)),
    }
}
